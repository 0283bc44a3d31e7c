"""Published checkpoints, by the names and shapes that their authors gave them, into our networks.

Known: RepViT-SAM (encoder and heads), LiteMedSAM (TinyViT encoder and heads), Rep-MedSAM (heads; its encoder is a
smaller RepViT) and MedSAM (ViT-B encoder and heads; SAM's own ViT-B has the same keys and cannot be told from it). What
a file is, is read off its keys; one that is none of them is refused with the keys that are wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from repmedsam_infer.errors import UsageError
from repmedsam_infer.network import RepMedSAM
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.comparison.medsam import MedSAM
from repmedsam_train.loop import save_weights
from repmedsam_train.weights.state import listed, load_state

Kind = Literal["repvit-sam", "litemedsam", "rep-medsam", "medsam"]
ENCODER, HEADS = "image_encoder.", ("prompt_encoder.", "mask_decoder.")
WRAPPERS = ("model", "state_dict")  # what training scripts put the network's entry under
PREFIXES = ("module.",)  # what parallel training puts before every name
STATISTICS = ("pixel_mean", "pixel_std")  # SAM's image normalisation, not part of the network here


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a .pth or .safetensors file, whatever it is wrapped in.

    Raises:
        UsageError: the file is missing, not a checkpoint, or holds anything but tensors (nothing in it is executed).

    """
    if not path.is_file():
        raise UsageError(f"{path} is not a file")
    try:
        if path.suffix == ".safetensors":
            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise whatever their parsers meet
        raise UsageError(f"{path} is not a checkpoint that can be read safely: {first_line(error)}") from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UsageError(f"{path} holds no state dict (names and tensors)")
    state = {str(name): tensor for name, tensor in loaded.items()}
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in state.items() if name not in STATISTICS}


def kind_of(state: Mapping[str, Tensor]) -> Kind | None:
    """Whose checkpoint these keys are of."""
    if f"{ENCODER}patch_embed.seq.0.c.weight" in state:
        return "litemedsam"
    if f"{ENCODER}blocks.0.attn.rel_pos_h" in state:
        return "medsam"
    with torch.device("meta"):  # shapes are all that is needed
        ours = RepMedSAM().image_encoder.state_dict()
    repvit = [name.removeprefix(ENCODER) for name in state if name.startswith(f"{ENCODER}features.")]
    if repvit:
        fits = all(name in ours and ours[name].shape == state[ENCODER + name].shape for name in repvit)
        return "repvit-sam" if fits and len(repvit) > len(ours) / 2 else "rep-medsam"
    return None


def import_checkpoint(path: Path, kind: Kind | None = None) -> tuple[Kind, nn.Module]:
    """Return the network that a published checkpoint holds: LiteMedSAM and MedSAM for their own, else RepMedSAM.

    RepMedSAM comes in training form, at grid 16 for RepViT-SAM and 64 for Rep-MedSAM, as their authors run them; of
    Rep-MedSAM, whose encoder is another one, only the heads are taken, and the encoder is left untrained.

    Raises:
        UsageError: the file cannot be read, or keys are missing, unexpected or of the wrong shape.

    """
    state = read_checkpoint(path)
    found = kind or kind_of(state)
    if found is None:
        raise UsageError(
            f"{path} is no checkpoint of RepViT-SAM, LiteMedSAM, Rep-MedSAM or MedSAM; "
            f"its first keys: {listed(sorted(state))}"
        )
    if found == "litemedsam":
        model: nn.Module = LiteMedSAM()
        load_state(model, state, path, found)
    elif found == "medsam":
        with torch.device("meta"):  # a second of random numbers would be drawn in vain
            model = MedSAM()
        model = model.to_empty(device="cpu")
        load_state(model, state, path, found)
    elif found == "repvit-sam":
        model = RepMedSAM(16)
        load_state(model, state, path, found)
    else:
        model = RepMedSAM(64)
        heads = nn.ModuleDict({"prompt_encoder": model.prompt_encoder, "mask_decoder": model.mask_decoder})
        load_state(heads, {name: t for name, t in state.items() if name.startswith(HEADS)}, path, found)
    return found, model.eval()


def write_imported(kind: Kind, model: nn.Module, path: Path) -> None:
    """Write the network as safetensors whose metadata say what it is.

    Raises:
        UsageError: it could not be written.

    """
    metadata = {"kind": kind, **(model.settings if isinstance(model, RepMedSAM) else {})}
    try:
        save_weights(path, model, metadata)
    except OSError as error:
        raise UsageError(f"{path} could not be written ({error.strerror})") from error


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
