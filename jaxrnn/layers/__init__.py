"""Layers: anything that maps a sequence to a sequence, and what they are made of."""

from jaxrnn.layers.bidirectional import Bidirectional as Bidirectional
from jaxrnn.layers.bidirectional import Directions as Directions
from jaxrnn.layers.bidirectional import bidirectional as bidirectional
from jaxrnn.layers.dropout import Dropout as Dropout
from jaxrnn.layers.dropout import dropout as dropout
from jaxrnn.layers.initializers import initializer as initializer
from jaxrnn.layers.layer import Layer as Layer
from jaxrnn.layers.learned_carry import LearnedCarryParams as LearnedCarryParams
from jaxrnn.layers.learned_carry import LearnedInitialCarry as LearnedInitialCarry
from jaxrnn.layers.learned_carry import learned_initial_carry as learned_initial_carry
from jaxrnn.layers.linear import Embedding as Embedding
from jaxrnn.layers.linear import Linear as Linear
from jaxrnn.layers.linear import LinearParams as LinearParams
from jaxrnn.layers.linear import embedding as embedding
from jaxrnn.layers.linear import linear as linear
from jaxrnn.layers.recurrent import Recurrent as Recurrent
from jaxrnn.layers.recurrent import recurrent as recurrent
from jaxrnn.layers.stack import Stack as Stack
from jaxrnn.layers.stack import stack as stack
from jaxrnn.layers.step import step as step
from jaxrnn.recurrence.boundaries import Context as Context
