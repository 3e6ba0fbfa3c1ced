"""The ops of the core: behind a node, and on another device."""

from ...device import transfer
from ...primitive import alias
from ..registry import case

case(alias, lambda d: ((d.normal(3, d.size(0, 4)),), {}), torch=lambda torch, x: x.view_as(x))
case(
    transfer,
    lambda d: ((d.normal(3, d.size(0, 4)),), {"source": "cpu", "device": "cpu"}),
    torch=lambda torch, x, source, device: x.clone(),
)
