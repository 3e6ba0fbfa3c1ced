"""The one op of the core."""

from ...primitive import alias
from ..registry import case

case(alias, lambda d: ((d.normal(3, d.size(0, 4)),), {}), torch=lambda torch, x: x.view_as(x))
