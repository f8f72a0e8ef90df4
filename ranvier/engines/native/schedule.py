"""Scheduling: from a checked graph to kernels in order, and the memory that they need.

lower -> group -> kernels (places, bodies, packing) -> hazards of state -> order -> memory
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ranvier.engines.native.across_images import across_images, beyond_border, inside
from ranvier.engines.native.bodies import write_body
from ranvier.engines.native.contraction_plan import Cut, MatmulPlan, TileHost, plan_matmul
from ranvier.engines.native.convolution_plan import (
    ConvolutionPlan,
    Loops,
    convolution_loops,
    plan_convolution,
    weight_gradient_loops,
)
from ranvier.engines.native.draft import Draft, Grouping
from ranvier.engines.native.group import group
from ranvier.engines.native.hazards import separate_state
from ranvier.engines.native.images_last import ImagesLastConvolution, ImagesLastWeightGradient
from ranvier.engines.native.images_last_plan import (
    images_last_gradient_loops,
    images_last_loops,
    plan_images_last,
    plan_images_last_gradient,
)
from ranvier.engines.native.indexmap import Affine, identity
from ranvier.engines.native.inset import Inset, first_spatial, inset_of, without_border
from ranvier.engines.native.kernels import (
    Body,
    BorderKernel,
    ConvolutionKernel,
    IndexKernel,
    Kernel,
    MatmulKernel,
    Operand,
    PackKernel,
    PackWeightsKernel,
    Place,
    RowKernel,
    WinogradKernel,
    WinogradWeightsKernel,
)
from ranvier.engines.native.lower import lower
from ranvier.engines.native.memory import Arena, allocate, check_arena
from ranvier.engines.native.order import Sequenced, sequence
from ranvier.engines.native.pull import pull
from ranvier.engines.native.winograd_plan import plan_winograd
from ranvier.engines.program import Options, Signature
from ranvier.graph.leaves import Constant, Input, State
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient, Geometry
from ranvier.graph.ops.movement import Pad, Reshape
from ranvier.graph.tensor import Shape, Tensor
from ranvier.graph.walk import topological


@dataclass(frozen=True)
class Schedule:
    """Everything that emission needs.

    leaves: where inputs, constants and state lie; outputs: where each output goes.
    stored: the tensors that lie in memory, each with its place; insets: those of them that lie
    inside a larger one; updates: the new value of each
    state, which replaces the old one.
    """

    sequenced: Sequenced
    arena: Arena
    leaves: Mapping[Tensor, Place]
    outputs: Mapping[str, Place]
    stored: Mapping[Tensor, Place]
    insets: Mapping[Tensor, Inset]
    updates: Mapping[State, Tensor]

    def __str__(self) -> str:
        lines: list[str] = []
        for i, kernel in enumerate(self.sequenced.kernels):
            if i and self.sequenced.epochs[i] != self.sequenced.epochs[i - 1]:
                lines.append("-- barrier")
            lines.append(str(kernel))
        return "\n".join([*lines, f"arena {self.arena.size} bytes"])


def schedule(signature: Signature, options: Options, host: TileHost, threads: int = 1) -> Schedule:
    """Return the kernels of a step in order, with their memory for so many threads."""
    roots = lower(signature.roots, host)
    signature = signature.with_roots(roots)
    grouping = group(roots, options.fuse)
    builder = _Builder(signature, grouping, options, host, threads)
    kernels = builder.kernels()
    if bare := builder.unread_borders():  # once more, without those borders
        builder = _Builder(signature, grouping, options, host, threads, bare)
        kernels = builder.kernels()
    kernels = separate_state(kernels, options.in_place)
    sequenced = sequence(kernels)
    arena = allocate(sequenced, reuse=options.in_place)
    check_arena(sequenced, arena)
    return Schedule(
        sequenced,
        arena,
        builder.leaves,
        builder.outputs,
        {node: place for node, place in builder.stored.items() if node not in builder.bare},
        builder.insets,
        signature.updates,
    )


@dataclass
class _Builder:
    """Turns drafts into kernels over places."""

    signature: Signature
    grouping: Grouping
    options: Options
    host: TileHost
    threads: int
    bare: frozenset[Tensor] = frozenset()
    leaves: dict[Tensor, Place] = field(default_factory=dict)
    outputs: dict[str, Place] = field(default_factory=dict)
    stored: dict[Tensor, Place] = field(default_factory=dict)
    insets: dict[Tensor, Inset] = field(default_factory=dict)
    targets: dict[Tensor, list[Place]] = field(default_factory=dict)
    packs: dict[tuple[object, ...], PackKernel] = field(default_factory=dict)
    exact: set[Tensor] = field(default_factory=set)
    built: list[Kernel] = field(default_factory=list)

    def kernels(self) -> list[Kernel]:
        self._place_leaves()
        self._place_results()
        for i, draft in enumerate(self.grouping.drafts):
            if draft.kind == "contraction":
                if isinstance(_product(draft).op, MatMul):
                    self._matmul(i, draft)
                else:
                    self._convolution(i, draft)
            elif draft.kind == "index":
                self._index(i, draft)
            elif draft.kind == "border":
                self._border(i, draft)
            else:
                body = self._body(draft)
                self.built.append(RowKernel(f"rows{i}", tuple(draft.anchors), body))
        return self.built

    @property
    def places(self) -> Mapping[Tensor, Place]:
        return self.leaves | self.stored

    # ------------------------------------------------------------ places

    def _place_leaves(self) -> None:
        names = {tensor: name for name, tensor in self.signature.inputs.items()}
        order = [*topological(self.signature.roots), *self.signature.updates]
        for node in dict.fromkeys(order):
            kind, name = "constant", f"c{len(self.leaves)}"
            if isinstance(node, State):
                kind, name = "state", node.label or f"s{len(self.leaves)}"
            elif isinstance(node.op, Input):
                kind, name = "input", names[node]
            elif not isinstance(node.op, Constant):
                continue
            self.leaves[node] = Place(kind, name, node.shape, node.dtype)

    def _place_results(self) -> None:
        for name, node in self.signature.outputs.items():
            self.outputs[name] = Place("output", name, node.shape, node.dtype)
            self.targets.setdefault(node, []).append(self.outputs[name])
            self.stored[node] = self.outputs[name]
        for state, node in self.signature.updates.items():
            self.targets.setdefault(node, []).append(self.leaves[state])
        for source, padded in self.grouping.insets.items():
            inset = without_border(source) if padded in self.bare else inset_of(padded)
            place = Place("temporary", f"pad{len(self.stored)}", inset.outer, padded.dtype)
            self.stored[source] = self.stored[padded] = place
            self.targets.setdefault(source, []).append(place)
            self.insets[source] = inset
        for node in self._read_elsewhere():
            if node not in self.stored:
                number = len(self.stored)
                place = Place("temporary", f"{node.op.name}{number}", node.shape, node.dtype)
                self.stored[node] = place
                self.targets.setdefault(node, []).append(place)

    def _read_elsewhere(self) -> list[Tensor]:
        """The anchors that another kernel reads; all of them where nothing is fused."""
        home, needed = self.grouping.home, dict.fromkeys(() if self.options.fuse else self.home)
        for k, draft in enumerate(self.grouping.drafts):
            if draft.kind == "index":
                needed.update(dict.fromkeys(draft.anchors))
            for node in self._read_by(draft):
                if node in home and home[node] != k:
                    needed[node] = None
        return list(needed)

    @property
    def home(self) -> Mapping[Tensor, int]:
        return self.grouping.home

    def _read_by(self, draft: Draft) -> list[Tensor]:
        found = list(draft.reads)
        if draft.kind == "index":
            found += [_contiguous(source) for node in draft.anchors for source in node.inputs]
        if draft.kind == "contraction":
            found += [self._operand_base(x) for x in _product(draft).inputs]
        return found

    def _operand_base(self, operand: Tensor) -> Tensor:
        (read,) = pull([(operand, identity(operand.shape))], self.grouping).reads
        return read.node

    def _stores(self, draft: Draft) -> dict[Tensor, list[Place]]:
        return {node: self.targets[node] for node in draft.anchors if node in self.targets}

    # ------------------------------------------------------------ kernels

    def _index(self, i: int, draft: Draft) -> None:
        (node,) = draft.anchors
        sources = tuple(self.places[_contiguous(source)] for source in node.inputs)
        name = f"{node.op.name}{i}"
        shapes = tuple(source.shape for source in node.inputs)
        kernel = IndexKernel(name, (node,), node.op, sources, shapes, self.stored[node])
        self.built.append(kernel)

    def _border(self, i: int, draft: Draft) -> None:
        (node,) = draft.anchors
        assert isinstance(node.op, Pad)
        if node in self.bare:
            return
        first = first_spatial(node)
        before, after = (n[first : first + 2] for n in (node.op.before, node.op.after))
        place = self.stored[node]
        self.built.append(BorderKernel(f"border{i}", (), place, first, before, after))

    def unread_borders(self) -> frozenset[Tensor]:
        """The padded tensors of whose border nothing reads: tiles across images leave it out."""
        read: set[Tensor] = set()
        for draft in self.grouping.drafts:
            if draft.kind == "contraction" and _product(draft) in self.exact:
                read.update([*draft.reads, self._operand_base(_product(draft).inputs[1])])
            else:
                read.update(self._read_by(draft))
        return frozenset(self.grouping.insets.values()) - read

    def _body(self, draft: Draft) -> Body:
        return write_body(draft, self._stores(draft), self.places, self.insets)

    def _matmul(self, i: int, draft: Draft) -> None:
        node = _product(draft)
        body = self._body(draft)
        batch, (m, n), k = node.shape[:-2], node.shape[-2:], node.inputs[0].shape[-1]
        if 0 in node.shape:
            return
        plan = plan_matmul(batch, m, n, k, node.dtype, self.host)
        left, right = map(self._operand, node.inputs)
        packs_left = plan.packs_a(*left.at.terms[-2:])
        packed_left = self._pack_left(i, plan, left) if packs_left else None
        packed_right = self._pack_right(i, plan, right) if plan.packs_b else None
        partial = None
        if plan.partial_size:
            partial = Place("temporary", f"partial{i}", (plan.partial_size,), node.dtype)
        nodes = tuple(draft.anchors)
        packed = packed_left, packed_right
        kernel = MatmulKernel(f"matmul{i}", nodes, body, plan, left, right, *packed, partial)
        self.built.append(kernel)

    def _convolution(self, i: int, draft: Draft) -> None:
        node = _product(draft)
        if 0 in node.shape:
            return
        body = self._body(draft)
        left, right = map(self._operand, node.inputs)
        if isinstance(node.op, ImagesLastConvolution):
            self._images_last(i, draft, left, right, body)
        elif isinstance(node.op, Convolution):
            loops = convolution_loops(*_shapes(node), left.at, right.at)
            if not self._winograd(i, draft, loops, left, right, body):
                self._images_first(i, draft, loops, left, right, body)
        else:
            if isinstance(node.op, ImagesLastWeightGradient):
                loops = images_last_gradient_loops(*_shapes(node), left.at, right.at)
                plan = plan_images_last_gradient(loops, node.dtype, self.host)
            else:
                loops = weight_gradient_loops(*_shapes(node), left.at, right.at)
                plan = plan_convolution(loops, False, node.dtype, self.host)
            self._add_convolution(i, draft, body, plan, left.place, right.place)

    def _add_convolution(
        self, i: int, draft: Draft, body: Body, plan: ConvolutionPlan, left: Place, right: Place
    ) -> None:
        partial, nodes = None, tuple(draft.anchors)
        if plan.partial_size:
            partial = Place("temporary", f"partial{i}", (plan.partial_size,), plan.dtype)
        name = f"convolution{i}"
        self.built.append(ConvolutionKernel(name, nodes, body, plan, left, right, partial))

    def _images_first(
        self, i: int, draft: Draft, loops: Loops, left: Operand, right: Operand, body: Body
    ) -> None:
        """A convolution whose weights are packed."""
        node = _product(draft)
        plan = plan_convolution(loops, True, node.dtype, self.host, inside(node))
        x = self._beyond_border(node, left)
        if better := across_images(plan, body, node, x, self.host):
            plan, body = better
            self.exact.add(node)
        assert node in self.exact or node.inputs[0] not in self.bare
        weights = self._pack_weights(i, plan, right)
        self._add_convolution(i, draft, body, plan, left.place, weights)

    def _images_last(self, i: int, draft: Draft, left: Operand, right: Operand, body: Body) -> None:
        """A convolution of images that vectors run along; none of it meets their border."""
        node = _product(draft)
        x = self._beyond_border(node, left)
        loops = images_last_loops(*_shapes(node), x, right.at)
        plan = plan_images_last(loops, node.dtype, self.host, inside(node))
        self.exact.add(node)
        self._add_convolution(i, draft, body, plan, right.place, left.place)

    def _beyond_border(self, node: Tensor, image: Operand) -> Affine:
        """How to read a convolution's image, which may lie in memory without its border."""
        padded = node.inputs[0]
        return beyond_border(padded) if padded in self.bare else image.at

    def _winograd(
        self, i: int, draft: Draft, loops: Loops, left: Operand, right: Operand, body: Body
    ) -> bool:
        """Build the kernels of Winograd's filtering if it pays."""
        node = _product(draft)
        assert isinstance(node.op, Convolution)
        weights = node.inputs[1].shape
        plan = plan_winograd(
            node.op.geometry, node.shape, weights, loops, left.at, node.dtype, self.host
        )
        if plan is None:
            return False
        panels = replace(plan_convolution(loops, True, node.dtype, self.host), panels=plan.panels)
        packed = self._pack_weights(i, panels, right)
        places = (
            Place("temporary", f"{name}{i}", (size,), node.dtype)
            for name, size in (
                ("points", plan.weights_size),
                ("scratch", plan.scratch * self.threads),
            )
        )
        points, scratch = places
        self.built.append(WinogradWeightsKernel(f"transform{i}", (), plan, packed, points))
        kernel = WinogradKernel(
            f"winograd{i}", tuple(draft.anchors), body, plan, left.place, points, scratch
        )
        self.built.append(kernel)
        return True

    def _pack_weights(self, i: int, plan: ConvolutionPlan, operand: Operand) -> Place:
        packed = Place("temporary", f"weights{i}", (plan.packed_size,), plan.dtype)
        self.built.append(PackWeightsKernel(f"pack{i}", (), plan, operand.place, packed))
        return packed

    def _operand(self, operand: Tensor) -> Operand:
        (read,) = pull([(operand, identity(operand.shape))], self.grouping).reads
        inset = self.insets.get(read.node)
        if inset is None:
            return Operand(self.places[read.node], read.at)
        assert read.axes is not None
        return Operand(self.places[read.node], inset.position(read.axes))

    def _pack_left(self, i: int, plan: MatmulPlan, operand: Operand) -> Place:
        packed = Place("temporary", f"left{i}", (plan.packed_a_size,), plan.dtype)
        return self._pack(plan.rows, PackKernel(f"pack{i}", (), plan, False, operand, packed))

    def _pack_right(self, i: int, plan: MatmulPlan, operand: Operand) -> Place:
        packed = Place("temporary", f"right{i}", (plan.packed_b_size,), plan.dtype)
        kernel = PackKernel(f"pack_right{i}", (), plan, True, operand, packed)
        return self._pack(plan.panels, kernel)

    def _pack(self, cut: Cut, kernel: PackKernel) -> Place:
        """Return the packed operand, from an earlier kernel where the same one was packed."""
        plan = kernel.plan
        key = (kernel.operand, kernel.right, plan.batch, cut, plan.depth)
        if key not in self.packs:
            self.packs[key] = kernel
            self.built.append(kernel)
        return self.packs[key].packed


def _product(draft: Draft) -> Tensor:
    """The contraction of a matmul kernel, its first anchor."""
    return next(iter(draft.anchors))


def _shapes(convolution: Tensor) -> tuple[Geometry, Shape, Shape]:
    """The geometry of a convolution or weight gradient, and the shapes of result and factor."""
    op = convolution.op
    assert isinstance(op, Convolution | ConvolutionWeightGradient)
    return op.geometry, convolution.shape, convolution.inputs[1].shape


def _contiguous(node: Tensor) -> Tensor:
    while isinstance(node.op, Reshape):
        node = node.inputs[0]
    return node
