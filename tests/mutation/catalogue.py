"""Every mistake we know how to make. Parts of the product add their own list here."""

from . import consensus, nodes
from .mutation import Mutation

CATALOGUE: list[Mutation] = [*consensus.MUTATIONS, *nodes.MUTATIONS]
