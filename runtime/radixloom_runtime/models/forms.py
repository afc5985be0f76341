"""Which weights are kept in few bits.

A weight is kept so if its module multiplies by it through `stack.project` or `grouped_matmul`
(`ParamSpec.is_matrix`), all tensors that it is made of have the same form, every device's part is
of whole groups, and all layers agree. All others are made dense while loading: right, but larger.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import replace

from radixloom_runtime.formats.scheme import Quantization, module_of
from radixloom_runtime.formats.stored import Form
from radixloom_runtime.models.params import ParamSpec
from radixloom_runtime.models.sharding import MeshShape


def with_forms(
    specs: tuple[ParamSpec, ...], quantization: Quantization, shape: MeshShape
) -> tuple[ParamSpec, ...]:
    """Give each row the form in which it is kept."""
    forms = [_form(spec, quantization, shape) for spec in specs]
    found: dict[tuple[str, ...], set[Form | None]] = {}
    for spec, form in zip(specs, forms, strict=True):
        found.setdefault(_in_any_layer(spec), set()).add(form)
    return tuple(
        replace(spec, form=form if len(found[_in_any_layer(spec)]) == 1 else None)
        for spec, form in zip(specs, forms, strict=True)
    )


def made_dense(specs: Iterable[ParamSpec], quantization: Quantization) -> list[str]:
    """Name matrices that the checkpoint holds quantized, and that are not kept so."""
    return sorted(
        {
            re.sub(r"\.\d+\.", ".*.", module_of(tensor.name))
            for spec in specs
            if spec.form is None and not spec.is_adapter
            for part in spec.parts()
            for tensor in part.stored
            if len(tensor.shape) == 2
            and (scheme := quantization.of(module_of(tensor.name)))
            and scheme.is_quantized
        }
    )


def _form(spec: ParamSpec, quantization: Quantization, shape: MeshShape) -> Form | None:
    if not spec.is_matrix or spec.cuts_result:
        return None
    names = [name for part in spec.parts() for name in part.checkpoint]
    schemes = [quantization.kept(quantization.of(module_of(name))) for name in names]
    forms = {None if scheme is None else scheme.form for scheme in schemes}
    if len(forms) != 1:
        return None
    (form,) = forms
    return form if form is not None and _fits(spec, form, shape) else None


def _fits(spec: ParamSpec, form: Form, shape: MeshShape) -> bool:
    """Whether each device's inputs are whole groups, and whole bytes."""
    dim = spec.dims[-2]
    if len(dim) != 1:
        return False
    (inputs,) = dim
    unit = math.lcm(form.group or 1, 2 if form.is_packed else 1)
    return inputs.unit % unit == 0 or inputs.size % (unit * shape.num_shards(inputs.name)) == 0


def _in_any_layer(spec: ParamSpec) -> tuple[str, ...]:
    """Names without the number of the layer, which is the first in a name."""
    return tuple(re.sub(r"\.\d+\.", ".*.", name, count=1) for name in spec.checkpoint)
