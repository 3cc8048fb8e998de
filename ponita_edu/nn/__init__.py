"""The network: kernels, lifting, convolutions, PONITA, and what it is compared with."""

from ponita_edu.nn.config import PonitaConfig
from ponita_edu.nn.ponita import Ponita, Prediction
from ponita_edu.nn.public import load_public_state_dict

__all__ = ["Ponita", "PonitaConfig", "Prediction", "load_public_state_dict"]
