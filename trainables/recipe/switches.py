"""The named switches of a fast training step: what a recipe may say, and what it means on a device (pure).

A cell's key is all that decides its weights (`orchestrator.study.keys`). The rule for each switch, in
`Execution.in_key`:

- `auto` leaves the choice to the machine, as `precision: auto` does, and is not in the key: cells are the
  same experiment on any hardware, and what was used is recorded beside the result.
- A value under which the very operations of the plain form run, in its order and precision, is not in it.
- A value under which the same formulas round differently (other kernels, other orders of a sum, fused
  multiply-adds) is in the key, for it was asked for by name.

So a study that names no switch has the keys that it had before there were any. The plain form is what a CPU
does: eager, channels-last, one parameter after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Compiler = Literal["off", "default", "max-autotune"]
Optimiser = Literal["single", "foreach", "fused"]
Fp32 = Literal["as is", "ieee", "tf32"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]


def _in_words(value: object) -> object:
    """YAML 1.1 reads a bare on and off as true and false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_in_words)]


class Execution(BaseModel):
    """How the step is executed. `auto` is off on a CPU; on a GPU it is what `resolve` says.

    `compile`: torch.compile for one fixed shape, and how hard it searches. `cuda_graphs`: the network's
    launches recorded once and replayed. `channels_last`: the memory layout of weights and activations, on a
    CPU too. `optimiser`: SGD's kernels: one parameter at a time, lists of them, or one kernel for all.
    `cudnn_benchmark`: cuDNN tries its algorithms on every new shape. `checkpoint_activations`: keep the
    inputs of blocks only and compute the rest again in the backward pass; `auto` is off everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    compile: Annotated[Literal["auto", "off", "default", "max-autotune"], BeforeValidator(_in_words)] = "auto"
    cuda_graphs: Switch = "auto"
    channels_last: Switch = "auto"
    optimiser: Literal["auto", "single", "foreach", "fused"] = "auto"
    cudnn_benchmark: Switch = "auto"
    checkpoint_activations: Switch = "auto"

    def in_key(self) -> dict[str, str]:
        """The choices that are part of a cell's key, by the rule above; empty where nothing is."""
        compiled = self.compile in ("default", "max-autotune")
        rounds_differently = {
            "compile": compiled,
            "channels_last": self.channels_last == "off",
            "optimiser": self.optimiser == "fused",
            "cudnn_benchmark": self.cudnn_benchmark == "on",
            # Eager checkpointing repeats the same operations; a compiler fuses what it computes again anew.
            "checkpoint_activations": compiled and self.checkpoint_activations == "on",
        }
        return {name: getattr(self, name) for name, yes in rounds_differently.items() if yes}


@dataclass(frozen=True)
class Machine:
    """What of a worker's device decides switches. `can_compile`: there is a backend of torch's compiler."""

    cuda: bool
    can_compile: bool = True


@dataclass(frozen=True)
class Switches:
    """What a worker does: no `auto` is left. The defaults are the plain form.

    `may_fall_back`: nobody asked for the compiler by name, so a model that it cannot compile runs without.
    """

    compile: Compiler = "off"
    cuda_graphs: bool = False
    channels_last: bool = True
    optimiser: Optimiser = "single"
    cudnn_benchmark: bool = False
    checkpoint_activations: bool = False
    fp32: Fp32 = "as is"
    may_fall_back: bool = False


PLAIN = Switches()
# Chosen by reasoning, not yet by measurement: `benchmarks/train_step.py` on a GPU is to confirm or change
# them. What has never run on one is off: the compiler (a month of training must not hang on its first day),
# cuDNN's search (what it tries counts as a cell's peak of memory, and cells may share a card) and recording.
ON_A_GPU = Switches(optimiser="foreach", may_fall_back=True)


def resolve(execution: Execution, precision: Precision, machine: Machine) -> Switches:
    """What a recipe's switches mean on a machine.

    `fp32` and `tf32` say how a GPU multiplies 32-bit numbers; torch itself would round convolutions' to TF32
    and not matrices'. bf16 leaves that as it is: there is nothing left to multiply in 32 bits.
    """
    own = ON_A_GPU if machine.cuda else PLAIN
    compiler: Compiler = own.compile if machine.can_compile else "off"
    fp32: dict[Precision, Fp32] = {"fp32": "ieee", "tf32": "tf32"}
    return Switches(
        compile=compiler if execution.compile == "auto" else execution.compile,
        cuda_graphs=machine.cuda and _on(execution.cuda_graphs, own.cuda_graphs),
        channels_last=_on(execution.channels_last, own.channels_last),
        optimiser=own.optimiser if execution.optimiser == "auto" else execution.optimiser,
        cudnn_benchmark=machine.cuda and _on(execution.cudnn_benchmark, own.cudnn_benchmark),
        checkpoint_activations=_on(execution.checkpoint_activations, own.checkpoint_activations),
        fp32=fp32.get(precision, "as is") if machine.cuda else "as is",
        may_fall_back=own.may_fall_back and execution.compile == "auto",
    )


def impossible(
    execution: Execution, precision: Precision, *, workers: int, gpus: float
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a cell with these resources cannot do: the recipe's field, and what is wrong with it."""
    if precision == "tf32" and gpus == 0:
        yield ("precision",), "tf32, but only GPUs have it; give GPUs or say precision: fp32"
    if execution.cuda_graphs == "on" and gpus == 0:
        yield ("speed", "cuda_graphs"), "on, but the cells hold no GPU; give GPUs or say cuda_graphs: auto"
    if execution.cuda_graphs == "on" and workers > 1:
        # Gradients are exchanged while they are computed, by hooks that a recording does not run again.
        what = f"on, but a step that {workers} workers share cannot be recorded; say cuda_graphs: off"
        yield ("speed", "cuda_graphs"), f"{what}, or workers: 1"


def _on(switch: str, automatic: bool) -> bool:
    return automatic if switch == "auto" else switch == "on"
