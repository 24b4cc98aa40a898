//! Recent samples: one TSDB per tenant, block cutting and shipping.
