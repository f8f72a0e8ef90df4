"""Kernels of contractions: products and convolutions, with what packs their operands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from ranvier.engines.native.fuse.groups import FusedGroup
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.lower.batch_innermost import (
    BatchInnermostConvolution,
    BatchInnermostWeightGradient,
)
from ranvier.engines.native.plans.batch_innermost import (
    batch_innermost_gradient_loops,
    batch_innermost_loops,
    plan_batch_innermost,
    plan_batch_innermost_gradient,
)
from ranvier.engines.native.plans.convolution import (
    ConvolutionPlan,
    Loops,
    convolution_loops,
    plan_convolution,
    weight_gradient_loops,
)
from ranvier.engines.native.plans.matmul import Cut, MatmulPlan, TileHost, plan_matmul
from ranvier.engines.native.plans.winograd import WinogradPlan, plan_winograd
from ranvier.engines.native.plans.winograd_gradient import (
    WinogradGradientPlan,
    plan_winograd_gradient,
)
from ranvier.engines.native.schedule.across_images import across_images, beyond_border, inside
from ranvier.engines.native.schedule.buffers import Buffers
from ranvier.engines.native.schedule.kernels import (
    Body,
    Buffer,
    ConvolutionKernel,
    Kernel,
    MatmulKernel,
    Operand,
    Packing,
    PackKernel,
    PackWeightsKernel,
    WinogradKernel,
    WinogradWeightsKernel,
)
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient, Geometry
from ranvier.graph.tensor import Shape, Tensor


@dataclass(frozen=True)
class _Panels:
    """An operand cut into panels: products for which all of this is equal can share them."""

    operand: Operand
    right: bool
    batch: Shape
    depth: Cut
    length: int
    cut: Cut


@dataclass(frozen=True)
class _Product:
    """A matrix product's plan, its operands, and the panels of those that are packed before use."""

    plan: MatmulPlan
    operands: tuple[Operand, Operand]
    packed: tuple[_Panels | None, _Panels | None]


@dataclass
class Contractions:
    """Adds the kernels of contractions to `built`, each after those that prepare for it.

    exact: the convolutions that read nothing of their image's border.
    """

    buffers: Buffers
    host: TileHost
    threads: int
    built: list[Kernel]
    exact: set[Tensor] = field(default_factory=set)
    _products: dict[Tensor, _Product] = field(default_factory=dict)
    _uses: Counter[_Panels] = field(default_factory=Counter)
    _packs: dict[_Panels, PackKernel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Plan all matrix products, to know which panels they share."""
        groups = self.buffers.fusion.groups
        for node in (group.product for group in groups if group.kind == "contraction"):
            if isinstance(node.op, MatMul) and node.size:
                product = self._products[node] = self._plan(node)
                self._uses.update(panels for panels in product.packed if panels is not None)

    def add(self, i: int, group: FusedGroup, body: Body) -> None:
        """Add the kernels of the i-th group, whose epilogue is `body`."""
        if 0 in group.product.shape:
            return
        if isinstance(group.product.op, MatMul):
            self._matmul(i, group, body)
        else:
            self._convolution(i, group, body)

    def _plan(self, node: Tensor) -> _Product:
        batch, (m, n), k = node.shape[:-2], node.shape[-2:], node.inputs[0].shape[-1]
        plan = plan_matmul(batch, m, n, k, node.dtype, self.host)
        left, right = map(self.buffers.operand, node.inputs)
        rows = columns = None
        if plan.packs_a(*left.at.terms[-2:]):
            rows = _Panels(left, False, batch, plan.depth, m, plan.rows)
        if plan.packs_b:
            columns = _Panels(right, True, batch, plan.depth, n, plan.panels)
        return _Product(plan, (left, right), (rows, columns))

    def _matmul(self, i: int, group: FusedGroup, body: Body) -> None:
        product, nodes = self._products[group.product], tuple(group.anchors)
        plan, operands = product.plan, product.operands
        left, right = (self._pack(i, plan, panels) for panels in product.packed)
        partial = None
        if plan.partial_size:
            partial = Buffer("temporary", f"partial{i}", (plan.partial_size,), plan.dtype)
        kernel = MatmulKernel(f"matmul{i}", nodes, body, plan, *operands, left, right, partial)
        self.built.append(kernel)

    def _convolution(self, i: int, group: FusedGroup, body: Body) -> None:
        node = group.product
        left, right = map(self.buffers.operand, node.inputs)
        if isinstance(node.op, BatchInnermostConvolution):
            self._batch_innermost(i, group, left, right, body)
        elif isinstance(node.op, Convolution):
            loops = convolution_loops(*_shapes(node), left.at, right.at)
            if not self._winograd(i, group, loops, left, right, body):
                self._images_first(i, group, loops, left, right, body)
        else:
            if isinstance(node.op, BatchInnermostWeightGradient):
                loops = batch_innermost_gradient_loops(*_shapes(node), left.at, right.at)
                plan = plan_batch_innermost_gradient(loops, node.dtype, self.host)
            else:
                loops = weight_gradient_loops(*_shapes(node), left.at, right.at)
                if self._winograd_gradient(i, group, loops, left, right, body):
                    return
                plan = plan_convolution(loops, False, node.dtype, self.host)
            self._add_convolution(i, group, body, plan, left.buffer, right.buffer)

    def _add_convolution(
        self,
        i: int,
        group: FusedGroup,
        body: Body,
        plan: ConvolutionPlan,
        left: Buffer,
        right: Buffer,
    ) -> None:
        partial, nodes = None, tuple(group.anchors)
        if plan.partial_size:
            partial = Buffer("temporary", f"partial{i}", (plan.partial_size,), plan.dtype)
        name = f"convolution{i}"
        self.built.append(ConvolutionKernel(name, nodes, body, plan, left, right, partial))

    def _images_first(
        self, i: int, group: FusedGroup, loops: Loops, left: Operand, right: Operand, body: Body
    ) -> None:
        """A convolution whose weights are packed."""
        node = group.product
        plan = plan_convolution(loops, True, node.dtype, self.host, inside(node))
        x = self._beyond_border(node, left)
        if better := across_images(plan, body, node, x, self.host):
            plan, body = better
            self.exact.add(node)
        assert node in self.exact or node.inputs[0] not in self.buffers.bare
        weights = self._pack_weights(i, plan, right)
        self._add_convolution(i, group, body, plan, left.buffer, weights)

    def _batch_innermost(
        self, i: int, group: FusedGroup, left: Operand, right: Operand, body: Body
    ) -> None:
        """A convolution of images that vectors run along; none of it meets their border."""
        node = group.product
        x = self._beyond_border(node, left)
        loops = batch_innermost_loops(*_shapes(node), x, right.at)
        plan = plan_batch_innermost(loops, node.dtype, self.host, inside(node))
        self.exact.add(node)
        self._add_convolution(i, group, body, plan, right.buffer, left.buffer)

    def _beyond_border(self, node: Tensor, image: Operand) -> Affine:
        """How to read a convolution's image, which may lie in memory without its border."""
        padded = node.inputs[0]
        return beyond_border(padded) if padded in self.buffers.bare else image.at

    def _winograd(
        self, i: int, group: FusedGroup, loops: Loops, left: Operand, right: Operand, body: Body
    ) -> bool:
        """Build the kernels of Winograd's filtering if it pays."""
        node = group.product
        assert isinstance(node.op, Convolution)
        weights = node.inputs[1].shape
        plan = plan_winograd(
            node.op.geometry, node.shape, weights, loops, left.at, node.dtype, self.host
        )
        if plan is None:
            return False
        panels = replace(plan_convolution(loops, True, node.dtype, self.host), panels=plan.panels)
        packed = self._pack_weights(i, panels, right)
        points = Buffer("temporary", f"points{i}", (plan.weights_size,), node.dtype)
        self.built.append(WinogradWeightsKernel(f"transform{i}", (), plan, packed, points))
        self._add_winograd(i, group, body, plan, left.buffer, points)
        return True

    def _winograd_gradient(
        self, i: int, group: FusedGroup, loops: Loops, left: Operand, right: Operand, body: Body
    ) -> bool:
        """Build the kernel of a weight gradient by Winograd's filtering if it pays."""
        node = group.product
        shapes, where = _shapes(node), (left.at, right.at)
        plan = plan_winograd_gradient(*shapes, loops, *where, node.dtype, self.host)
        if plan is not None:
            self._add_winograd(i, group, body, plan, left.buffer, right.buffer)
        return plan is not None

    def _add_winograd(
        self,
        i: int,
        group: FusedGroup,
        body: Body,
        plan: WinogradPlan | WinogradGradientPlan,
        left: Buffer,
        right: Buffer,
    ) -> None:
        size = plan.scratch * self.threads
        scratch = Buffer("temporary", f"scratch{i}", (size,), plan.dtype)
        nodes = tuple(group.anchors)
        self.built.append(WinogradKernel(f"winograd{i}", nodes, body, plan, left, right, scratch))

    def _pack_weights(self, i: int, plan: ConvolutionPlan, operand: Operand) -> Buffer:
        packed = Buffer("temporary", f"weights{i}", (plan.packed_size,), plan.dtype)
        self.built.append(PackWeightsKernel(f"pack{i}", (), plan, operand.buffer, packed))
        return packed

    def _pack(self, i: int, plan: MatmulPlan, panels: _Panels | None) -> Packing | None:
        """Where panels lie; a kernel before the product packs them, once for all that use them.

        A product of several segments packs itself what no other one uses.
        """
        if panels is None:
            return None
        by_segment = plan.packs_segments and self._uses[panels] == 1
        name = f"right{i}" if panels.right else f"left{i}"
        buffer = Buffer(
            "temporary", name, (plan.packed_size(panels.right, by_segment),), plan.dtype
        )
        if by_segment:
            return Packing(buffer, by_segment)
        if panels not in self._packs:
            kernel = PackKernel(f"pack_{name}", (), plan, panels.right, panels.operand, buffer)
            self._packs[panels] = kernel
            self.built.append(kernel)
        return Packing(self._packs[panels].packed, by_segment)


def _shapes(convolution: Tensor) -> tuple[Geometry, Shape, Shape]:
    """The geometry of a convolution or weight gradient, and the shapes of result and factor."""
    op = convolution.op
    assert isinstance(op, Convolution | ConvolutionWeightGradient)
    return op.geometry, convolution.shape, convolution.inputs[1].shape
