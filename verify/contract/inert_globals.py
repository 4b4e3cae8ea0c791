"""Which classes in a pickle are plain data: a list of ours, by which a manifest may name them.

Whatever is named here is never imported nor called: a stand-in that does nothing takes its place
(`fetcher.verify.weights.stand_ins`). So a name that is here by mistake cannot run anything either.
"""

from __future__ import annotations

import _compat_pickle
import re

# Kept as mappings, so that tensors below them are found.
_MAPPINGS = re.compile(
    r"collections\.defaultdict"
    r"|easydict\.EasyDict"
    r"|addict\.addict\.Dict"
    r"|yacs\.config\.CfgNode"
    r"|mmengine\.config\.config\.ConfigDict"
    r"|(pytorch_lightning|lightning\.pytorch)\.utilities\.parsing\.AttributeDict"
    r"|(lightning_fabric|lightning\.fabric)\.utilities\.data\.AttributeDict"
)
_LISTS = re.compile(r"collections\.deque")
# Arrays, types and scalars of numpy: nobody needs to name them (weights/arrays.py reads them).
_NUMPY = re.compile(
    r"numpy\.(ndarray|dtype|_?bool_?|u?int(8|16|32|64)|float(16|32|64)|complex(64|128))"
    r"|numpy\.dtypes\.\w+DType"
    r"|numpy\.(core|_core)\.multiarray\.(_reconstruct|scalar)"
    r"|numpy\.(core|_core)\.numeric\._frombuffer"
)
_PLAIN = re.compile(
    r"argparse\.Namespace"
    r"|types\.SimpleNamespace"
    r"|builtins\.(bool|bytes|dict|float|frozenset|int|list|object|range|set|slice|str|tuple)"
    r"|typing\.(Any|Dict|List|Tuple|Union|Optional)"
    r"|datetime\.(date|datetime|time|timedelta|timezone)"
    r"|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path"
    r"|decimal\.Decimal"
    r"|fractions\.Fraction"
    r"|uuid\.(UUID|SafeUUID)"
    r"|numpy\.random\._pickle\.__(randomstate|generator|bit_generator)_ctor"
    r"|torch\.torch_version\.TorchVersion"
    r"|omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig)"
    r"|omegaconf\.base\.(ContainerMetadata|Metadata)"
    r"|omegaconf\.nodes\.(Any|Boolean|Bytes|Enum|Float|Integer|Path|String)Node"
    r"|mmengine\.logging\.history_buffer\.HistoryBuffer"
    r"|transformers\.training_args\.(TrainingArguments|OptimizerNames)"
    r"|transformers\.trainer_utils\.(Interval|Evaluation|Save|Hub)Strategy"
    r"|transformers\.trainer_utils\.SchedulerType"
)


def is_inert(name: str) -> bool:
    """Tell whether a global (`module.name`) is plain data; names of Python 2 count as their own."""
    return any(kind.fullmatch(present_name(name)) for kind in (_PLAIN, _NUMPY, _MAPPINGS, _LISTS))


def is_numpy(name: str) -> bool:
    """Tell whether it rebuilds arrays, types or scalars of numpy."""
    return _NUMPY.fullmatch(present_name(name)) is not None


def is_mapping(name: str) -> bool:
    """Tell whether it is a dict with methods of its own."""
    return _MAPPINGS.fullmatch(present_name(name)) is not None


def is_list(name: str) -> bool:
    """Tell whether it is filled as a list is."""
    return _LISTS.fullmatch(present_name(name)) is not None


def present_name(name: str) -> str:
    """Return what Python 3 calls a global that an older protocol wrote by its name in Python 2."""
    module, _, attribute = name.rpartition(".")
    if (module, attribute) in _compat_pickle.NAME_MAPPING:
        return ".".join(_compat_pickle.NAME_MAPPING[module, attribute])
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{attribute}"
