"""Golden checks: our stack against arrays of the authors' implementation."""

from gim_tf.fidelity.checking import CaseResult as CaseResult
from gim_tf.fidelity.checking import check_case as check_case
from gim_tf.fidelity.checking import check_directory as check_directory
from gim_tf.fidelity.tables import as_json as as_json
from gim_tf.fidelity.tables import as_text as as_text
