//! The blocks of the bucket.

use std::sync::Arc;

use store_gateway::{Dependencies, StoreGateway, StoreOptions};

use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let gateway = StoreGateway::new(Dependencies {
        config: env.config.blocks_storage.bucket_store.clone(),
        options: StoreOptions::default(),
        bucket: env.bucket("store-gateway")?,
        clock: Arc::clone(&env.clock),
        blocking: env.blocking.clone(),
        metrics: env.metrics.clone(),
    });
    let service = gateway.service();
    parts.block_store = Some(Arc::new(gateway));
    parts.service(service, &["server"])
}
