//! The real clock, randomness and executor, services and shutdown, logging, and the metrics registry.
