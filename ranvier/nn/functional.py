"""Nothing, said in a sentence to those who import it: functions of tensors are `rv.relu`, …"""

from ranvier.errors import MissingImportError
from ranvier.guidance.words import FUNCTIONS

raise MissingImportError(f"nn has no 'functional'; {FUNCTIONS}")
