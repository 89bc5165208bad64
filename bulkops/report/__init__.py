"""The report: a job's items with what became of them, as a CSV file that is written while it is read.

`docs/report.md` is for those who read such files. `cells`: values as safe text. `columns`: the header. `ledger`,
`folding` and `rows`: what is read from the tables. `document`: the file. `download`: the file over HTTP.
"""

from bulkops.report.document import INCOMPLETE, Report, Wanted, file_name, read_states
from bulkops.report.download import CSV, PARAMETERS, attachment, read_query
from bulkops.report.ledger import STATES

__all__ = [
    "CSV",
    "INCOMPLETE",
    "PARAMETERS",
    "STATES",
    "Report",
    "Wanted",
    "attachment",
    "file_name",
    "read_query",
    "read_states",
]
