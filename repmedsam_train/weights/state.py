"""State dicts into networks, with an error for people where they do not fit."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from repmedsam_infer.errors import UsageError

SHOWN = 5  # keys named in an error
COUNTERS = (
    "num_batches_tracked"  # batches that a normalisation has averaged; it is not computed with, and files may lack it
)


def load_state(
    module: nn.Module, state: Mapping[str, Tensor], path: Path, network: str, optional: tuple[str, ...] = ()
) -> None:
    """Load all of `state` into `module`; keys that begin with `optional` and batch counters may be missing.

    Raises:
        UsageError: other keys are missing, or some are unexpected or of the wrong shape; `path` is named with them.

    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    missing = [name for name in missing if not name.startswith(optional) and not name.endswith(COUNTERS)]
    # Saved by some versions of the published code; we compute it.
    unexpected = sorted(name for name in state.keys() - wanted.keys() if not name.endswith("attention_bias_idxs"))
    misshapen = [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    problems = [
        f"{what}: {listed(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen))
        if names
    ]
    if problems:
        raise UsageError(f"{path} does not fit {network}. {'. '.join(problems)}")
    module.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)


def listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
