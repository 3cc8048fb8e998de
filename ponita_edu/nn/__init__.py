"""The network: kernels, lifting, convolutions, PONITA, and what it is compared with."""
