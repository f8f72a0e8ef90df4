"""`WeightRules`: what a model does to its weights beside the optimizer's step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ranvier import optim
from ranvier.errors import InputError
from ranvier.graph.leaves import Parameter, State
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass
from ranvier.regularization import (
    L1,
    L2,
    Dilution,
    DropConnect,
    MaxNorm,
    Penalty,
    Selective,
    WeightDecay,
)

RuleLike = float | Mapping[str, Any] | Selective | None
"""A rule, its arguments by name, its first argument alone, or None for none."""


@dataclass(frozen=True)
class WeightRules:
    """At most one rule of each kind.

    They are applied in this order: DropConnect to the network; then, to what the optimizer makes of
    the weights, decay, dilution (diluted weights do not decay either), and the bound on norms,
    which holds whatever came before.
    """

    dropconnect: DropConnect | None = None
    weight_decay: WeightDecay | None = None
    dilution: Dilution | None = None
    max_norm: MaxNorm | None = None

    def config(self) -> dict[str, Any]:
        """Return the arguments of each rule, ready for JSON; None for those there are not."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if rule is None else rule.config() for name, rule in found.items()}

    def check(self, parameters: Mapping[str, Parameter], penalties: Sequence[Penalty]) -> None:
        """Refuse rules and penalties for parameters that there are not; InputError."""
        rules = (getattr(self, field.name) for field in fields(self))
        for rule in (*rules, *penalties):
            if rule is not None:
                rule.check(parameters)

    def dropped(
        self,
        tensors: Sequence[Tensor],
        parameters: Mapping[str, Parameter],
        seed: Tensor,
        step: Tensor,
    ) -> list[Tensor]:
        """Return what the tensors of a training step become by DropConnect."""
        if self.dropconnect is None:
            return list(tensors)
        return self.dropconnect.dropped(tensors, parameters, seed, step)

    def applied(
        self,
        updates: Mapping[State, Tensor],
        parameters: Mapping[str, Parameter],
        rate: Tensor,
        counters: tuple[Tensor, Tensor, int | None],
    ) -> dict[State, Tensor]:
        """Return the updates of a step by all rules.

        rate: the learning rate. counters: the seed, the step, and the steps of an epoch.
        """
        new = dict(updates)
        if self.weight_decay is not None:
            new = self.weight_decay.decayed(new, parameters, rate)
        if self.dilution is not None:
            new = self.dilution.masked(new, parameters, *counters)
        if self.max_norm is not None:
            new = self.max_norm.bounded(new, parameters)
        return new


_KINDS: dict[str, type[Selective]] = {
    "l1": L1,
    "l2": L2,
    "dropconnect": DropConnect,
    "weight_decay": WeightDecay,
    "dilution": Dilution,
    "max_norm": MaxNorm,
}


def penalties(l1: RuleLike, l2: RuleLike) -> tuple[Penalty, ...]:
    """Return the penalties of `Model`'s arguments l1 and l2."""
    found = (as_rule("l1", l1), as_rule("l2", l2))
    return tuple(each for each in found if each is not None)


def weight_rules(**given: RuleLike) -> WeightRules:
    """Return the rules of `Model`'s arguments by name; InputError for what makes none."""
    return WeightRules(**{name: as_rule(name, value) for name, value in given.items()})


def check_decay(rules: WeightRules, optimizer: optim.Optimizer) -> None:
    """Refuse two decays of the same weights with InputError."""
    own = getattr(optimizer, "weight_decay", 0)
    if rules.weight_decay is not None and own:
        raise InputError(
            f"{optimizer.name} has a weight_decay of its own, {own}, which would add up with the "
            "model's; set one of them"
        )


def as_rule(name: str, given: RuleLike) -> Any:
    """Return the rule of a name that a value makes, or None for None; InputError for others."""
    kind = _KINDS[name]
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, Mapping):
        return kind.from_config({"name": name, **given})
    if isinstance(given, Selective):
        raise InputError(f"{name} is a {type(given).__name__}; use a number or a {kind.__name__}")
    return kind(given)  # type: ignore[call-arg]
