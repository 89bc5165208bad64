"""Operations that ship with bulkops, each an app of its own: name it in INSTALLED_APPS to switch it on."""
