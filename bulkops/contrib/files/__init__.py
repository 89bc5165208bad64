"""Images, PDFs and videos, a file an item; and all files of a job together as zips."""
