"""Everything hostile in one table: what is sent, through which face, and what comes of it, in the user's words.

A row expects either words, which the face says or the item's outcome holds, or the items that a job then has. What is
sent goes the whole way: through a page, the API or a command, and where an item has to fail, through a worker. More of
each kind stands beside its own module: texts in `test_hostile_text.py`, files in `contrib/test_hostile_files.py`,
addresses, cells and answers in `contrib/http_calls/test_hostile_http.py`, vectors in `contrib/test_hostile_vectors.py`.
"""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from bulkops import manifests, services, uploaded_files
from bulkops.models import Job, Manifest, Outcome
from tests.commands.conftest import run as shell  # noqa: F401 - a fixture
from tests.contrib.hostile import BY_NAME
from tests.contrib.http_calls.conftest import PERMISSION as MAY_CALL
from tests.outbound.conftest import allow, names, peers  # noqa: F401 - fixtures
from tests.peers import Reply
from tests.sample import pictures
from tests.web.conftest import alive, as_owner  # noqa: F401 - fixtures
from tests.web.test_submitting import hidden

COLUMNS = [f"c{number}" for number in range(10_000)]
PEOPLE = "name;note\r\nZoë;1\r\n"
ZOE = [{"name": "Zoë", "note": "1"}]
UTF8 = "Save the file as UTF-8 (in Excel: “CSV UTF-8”)."
TOO_LARGE = "is larger than an item may be (64 KB)."
FORMULAS = """a,b\n=cmd|'/c calc'!A0,"=HYPERLINK(""http://x"")"\n@SUM(1),+1-2\n"""


@dataclass(frozen=True)
class Row:
    """One thing that somebody sends, and what is to come of it."""

    name: str
    face: str
    sent: Any
    expected: Any


def file(name: str, made: str, code: str, words: str = "") -> Row:
    """A file of the neighbours' table, whose outcome has that code and those words."""
    return Row(name, "files", made, (f"{code}: ", words))


def inside(*answers: list[str]) -> list[list[str]]:
    """What the world's name servers say of a name that is on the list."""
    return list(answers)


NO_WAY_IN = "http-address-refused: "
LEAVES = "http-row: "

HOSTILE = [
    # -- bombs
    file("a picture of 3,600 megapixels", "pixels.png", "too-large"),
    file("a picture of one colour, 100 KB that unpack to 400 MB", "flat.png", "too-large", "pixels"),
    file("100 MB of text inside a picture", "text-inside.png", "too-large", "text"),
    file("a PDF whose page unpacks to 120 MB", "stream.pdf", "too-large"),
    file("a PDF of 100,000 pages", "many-pages.pdf", "too-large", "pages"),
    file("a tree of pages 10,000 deep", "deep.pdf", "too-large"),
    file("XML that multiplies itself", "laughs.svg", "wrong-type", "SVG"),
    Row("JSON nested without end", "shell", ("a.json", b"[" * 100_000 + b"]" * 100_000),
        "this JSON is nested too deeply."),
    Row("a number of a million digits", "shell", ("a.json", b"[" + b"9" * 1_000_000 + b"]"),
        f"this is not JSON that can be stored: {'9' * 40}… has too many digits (1,000,000)."),
    # -- truncated
    file("half a JPEG", "cut.jpg", "corrupt", "truncated"),
    file("half a PNG", "cut.png", "corrupt"),
    file("the first fifth of a PDF", "cut.pdf", "corrupt"),
    file("half a video", "cut.mp4", "corrupt"),
    file("nothing at all", "empty.jpg", "corrupt", "empty"),
    Row("a table that ends within a quote", "page", ("a.csv", b'a,b\n1,2\n3,"4\n5,6\n'),
        "Line 3: a quote opens in this row and is never closed."),
    Row("UTF-16 cut in the middle of a letter", "page", ("a.csv", "a\n1\n".encode("utf-16") + b"x"),
        f"Line 3: this is not UTF-16 text. {UTF8}"),
    # -- mislabelled
    file("text called .png", "really-text.png", "wrong-type", "text, not an image, a PDF or a video"),
    file("PostScript called .jpg", "drawing.jpg", "wrong-type", "PostScript"),
    file("a playlist of local files called .mp4", "playlist.mp4", "wrong-type", "text"),
    Row("a PDF called .txt", "api", ("a.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        "The file is a PDF, not text. Give the data that it was made of, as CSV."),
    Row("HTML called .csv", "page", ("a.csv", b"\r\n<!DOCTYPE html>\n<table><tr><td>a</td></tr></table>"),
        "Line 2: this is HTML, not CSV. Open it in a spreadsheet and save it as CSV."),
    # -- CSV in other encodings
    Row("UTF-16 with a mark", "page", ("a.csv", b"\xff\xfe" + PEOPLE.encode("utf-16-le")), ZOE),
    Row("UTF-16 without a mark", "api", ("a.csv", PEOPLE.encode("utf-16-be")), ZOE),
    Row("Latin-1", "shell", ("a.csv", PEOPLE.encode("latin-1")), ZOE),
    Row("UTF-8 with one broken byte", "api", ("a.csv", "a,b\nZoë,Köln\n".encode() * 500 + b"Jos\xe9,Rom\n"),
        f"Line 1001: this is not UTF-8 text. {UTF8}"),
    Row("surrogates spelt as UTF-8", "shell", ("a.csv", b"a\n\xed\xa0\xbd\xed\xb8\x80\n"),
        f"Line 2: this is not UTF-8 text. {UTF8}"),
    # -- quotes and newlines in fields
    Row("quotes and line ends in a value", "page", ("a.csv", b'a,b\r\n"say ""hi""\r\nand go",2\r\n'),
        [{"a": 'say "hi"\r\nand go', "b": "2"}]),
    Row("a quote escaped as programs do", "api", ("a.csv", b'a,b\n"say \\"hi\\"",2\n'),
        "Line 2: a quote ends before its value does; write a quote inside a quoted value twice."),
    Row("line ends of all kinds", "shell", ("a.csv", b"a,b\r\n1,2\r3,4\n5,6"),
        [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "b": "6"}]),
    Row("a NUL in a row", "page", ("a.csv", b"a,b\n1,2\n3,\x00\n"),
        "Line 3: the line holds a NUL character, as UTF-16 and spreadsheet files do."),
    # -- too much of one thing
    Row("10,000 columns", "api", ("a.csv", f"{','.join(COLUMNS)}\n{','.join('x' * 10_000)}\n".encode()),
        "Item 0 is larger than 65,536 bytes."),
    Row("10,000 columns with long names", "page", ("a.csv", ",".join(f"column {n}" for n in range(10**4)).encode()),
        f"Line 1: the row {TOO_LARGE}"),
    Row("a cell of 1 MB", "page", ("a.csv", b"a,b\n1," + b"x" * 1024 * 1024 + b"\n"), f"Line 2 {TOO_LARGE}"),
    Row("a cell of 100 KB", "shell", ("a.csv", b"a,b\n1," + b"x" * 100 * 1024 + b"\n"), f"Line 2: the row {TOO_LARGE}"),
    # -- formulas
    Row("formulas are kept to the letter", "page", ("a.csv", FORMULAS.encode()),
        [{"a": "=cmd|'/c calc'!A0", "b": '=HYPERLINK("http://x")'}, {"a": "@SUM(1)", "b": "+1-2"}]),
    Row("a formula does nothing in the report", "report", ("a.csv", FORMULAS.encode()),
        """'=cmd|'/c calc'!A0,"'=HYPERLINK(""http://x"")",unprocessed"""),
    # -- path tricks
    Row("a name that climbs", "names", "../../../etc/passwd.jpg", "passwd.jpg"),
    Row("a name that climbs as on Windows", "names", "..\\..\\windows\\photo.jpg", "photo.jpg"),
    Row("a name from the root", "names", "/etc/photo.jpg", "photo.jpg"),
    Row("a name with line ends", "names", "two\nlines\r\nSet-Cookie: a=b.jpg", "b.jpg"),
    Row("a cell that climbs in an address", "calls", {"cell": "../admin"}, LEAVES),
    Row("a cell that climbs, encoded", "calls", {"cell": "%2e%2e%2fadmin"}, LEAVES),
    # -- redirects to loopback
    *(Row(f"a redirect inside, {status}", "calls", {"redirect": status}, f"http-{status}: ")
      for status in (301, 302, 303, 307, 308)),
    # -- names that resolve to private addresses
    Row("a name that is the loopback", "calls", {"names": inside(["127.0.0.1"])}, NO_WAY_IN),
    Row("a name in a private network", "calls", {"names": inside(["10.0.0.7"])}, NO_WAY_IN),
    Row("a name that is the cloud's metadata", "calls", {"names": inside(["169.254.169.254"])}, NO_WAY_IN),
    Row("a name that is the loopback of IPv6", "calls", {"names": inside(["::1"])}, NO_WAY_IN),
    Row("a name that hides IPv4 in IPv6", "calls", {"names": inside(["::ffff:127.0.0.1"])}, NO_WAY_IN),
    Row("a name that is inside too", "calls", {"names": inside(["1.1.1.1", "127.0.0.1"])}, NO_WAY_IN),
    # -- vectors that are none
    Row("NaN as text", "vectors", "nan 1", "“nan”"),
    Row("NaN in JSON text", "vectors", "[NaN, 1]", "is nan, which is not finite"),
    Row("infinity as text", "vectors", "1 -inf", "“-inf”"),
    Row("Infinity in JSON text", "vectors", "[1, Infinity]", "is inf"),
    Row("zero", "vectors", [0.0, 0.0], "no direction"),
    Row("another dimension", "vectors", [1.0, 2.0, 3.0], "has 3 numbers, but the collection's have 2"),
]  # fmt: skip


def items_of(job: Job) -> list[Any]:
    """The items as they were stored."""
    rows = Manifest.objects.filter(job=job).order_by("number")
    return [item for row in rows for item in manifests.decode(row.payload)]


def outcome_of(job: Job, worker: Any, position: int = 0) -> str:
    """What the job's page says of an item."""
    worker.finish(job)
    outcome = Outcome.objects.get(job=job, position=position)
    client = Client()
    client.force_login(job.owner)
    page = html.unescape(client.get(f"/jobs/{job.pk}/items/").content.decode())
    assert outcome.message in page or outcome.state == "succeeded"
    return f"{outcome.error_code}: {outcome.message}"


def by_page(sent: tuple[str, bytes], get: Any) -> Any:
    client = get("as_owner")
    name, content = sent
    form = hidden(client.get("/operations/note/"))
    answer = client.post("/operations/note/", form | {"file": SimpleUploadedFile(name, content), "action": "start"})
    job = Job.objects.first()
    assert answer.status_code in ({302} if job else {413, 422})
    return items_of(job) if job else html.unescape(answer.content.decode())


def by_api(sent: tuple[str, bytes], get: Any) -> Any:
    client = get("as_owner")
    name, content = sent
    answer = client.post("/api/jobs/", {"operation": "note", "file": SimpleUploadedFile(name, content)})
    job = Job.objects.first()
    assert answer.status_code in ({202} if job else {413, 422})
    return items_of(job) if job else answer.json()["detail"]


def by_shell(sent: tuple[str, bytes], get: Any) -> Any:
    get("owner")
    name, content = sent
    path = get("tmp_path") / name
    path.write_bytes(content)
    ran = get("shell")("enqueue", "note", "--user", "owner", "--items", path)
    job = Job.objects.first()
    assert ran.code == (0 if job else 2)
    return items_of(job) if job else ran.complaint


def in_the_report(sent: tuple[str, bytes], get: Any) -> str:
    by_page(sent, get)
    answer = get("as_owner").get(f"/jobs/{Job.objects.get().pk}/report.csv")
    return b"".join(answer.streaming_content).decode()


def as_a_file(sent: str, get: Any) -> str:
    """Sent to the API beside a good picture, which is done all the same."""
    files = [SimpleUploadedFile(sent, BY_NAME[sent].make()), SimpleUploadedFile("good.jpg", pictures.jpeg())]
    body = {"operation": "process-files", "params": '{"do": "anew"}', "file": files}
    assert get("as_owner").post("/api/jobs/", body).status_code == 202
    job = Job.objects.get()
    said = outcome_of(job, get("worker"))
    assert Outcome.objects.get(job=job, position=1).state == "succeeded"
    return said


def as_a_name(sent: str, get: Any) -> str:
    """A good picture whose name is the trick: how it is called then, and it lies where it belongs."""
    batch = uploaded_files.Batch()
    batch.add(sent, io.BytesIO(pictures.jpeg()))
    job = services.submit(user=get("owner"), operation="process-files", items=batch.items, upload=batch.id)
    assert get("worker").finish(job).state == "completed"
    root = Path(get("settings").MEDIA_ROOT)
    outside = [path for path in root.parent.rglob("*") if path.is_file() and root not in path.parents]
    assert outside == []
    return uploaded_files.name_of(items_of(job)[0])


def as_a_call(sent: dict[str, Any], get: Any) -> str:
    """A row of a job that calls a service on the list; what only this machine can reach is never asked."""
    private = get("peers")(lambda asked: Reply(200, b"the keys to everything"))
    url = f"http://api.example.org:{private.port}/o/{{a}}"
    get("names")["api.example.org"] = sent.get("names", [["127.0.0.1"]])
    public = private
    if "redirect" in sent:
        public = get("peers")(lambda asked: Reply(sent["redirect"], headers={"Location": private.url}))
        url = f"{public.url}/o/{{a}}"
    open_networks = () if "names" in sent else ("127.0.0.1/32",)
    get("allow")(url.partition("/o/")[0], networks=open_networks)
    user = get("person")("caller", MAY_CALL)
    rows = [{"a": sent.get("cell", "1")}]
    job = services.submit(user=user, operation="call-http-api", params={"url": url}, items=rows)
    said = outcome_of(job, get("worker"))
    assert private.asked == []
    assert "redirect" not in sent or len(public.asked) == 1
    return said


def as_a_vector(sent: Any, get: Any) -> str:
    user = get("person")("indexer", "bulkops_vectors.add_vector")
    params = {"collection": "hostile", "dimension": 2}
    job = services.submit(user=user, operation="index-vectors", params=params, items=[{"id": "a", "vector": sent}])
    return outcome_of(job, get("worker"))


FACES = {
    "page": by_page,
    "api": by_api,
    "shell": by_shell,
    "report": in_the_report,
    "files": as_a_file,
    "names": as_a_name,
    "calls": as_a_call,
    "vectors": as_a_vector,
}
WORKED = {"files", "names", "calls", "vectors"}


def _case(row: Row) -> Any:
    """Files, each with its job, are slow but for one bomb; beside their table one job has most of them."""
    slow = row.face == "files" and row.sent != "pixels.png"
    marks = [pytest.mark.django_db(transaction=row.face in WORKED), *([pytest.mark.slow] if slow else [])]
    return pytest.param(row, id=row.name, marks=marks)


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize("row", [_case(row) for row in HOSTILE])
def test_hostile_input_ends_in_the_words_or_items_that_the_table_says(row, request):
    came = FACES[row.face](row.sent, request.getfixturevalue)
    if isinstance(row.expected, list):
        assert came == row.expected
    else:
        assert isinstance(came, str), came
        for part in (row.expected,) if isinstance(row.expected, str) else row.expected:
            assert part in came


def test_the_table_has_every_kind_and_every_face():
    assert len(HOSTILE) >= 40
    assert {row.face for row in HOSTILE} == set(FACES)
    assert len({row.name for row in HOSTILE}) == len(HOSTILE)
