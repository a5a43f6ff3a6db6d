"""Layers: anything that maps a sequence to a sequence, and what they are made of."""

from jaxrnn.layers.bidirectional import Directions as Directions
from jaxrnn.layers.bidirectional import bidirectional as bidirectional
from jaxrnn.layers.initializers import initializer as initializer
from jaxrnn.layers.layer import Layer as Layer
from jaxrnn.layers.linear import LinearParams as LinearParams
from jaxrnn.layers.linear import embedding as embedding
from jaxrnn.layers.linear import linear as linear
from jaxrnn.layers.recurrent import recurrent as recurrent
from jaxrnn.layers.stack import stack as stack
