//! The limits of tenants, read again while the node runs. A file that is wrong at start is an
//! error; one that becomes wrong later leaves everything as it was, and a metric says so.

use std::sync::Arc;

use anyhow::Context;
use config::Overrides;
use rt::metrics::Gauge;
use rt::service::TimerService;

use crate::digest::HashGauge;
use crate::env::{Env, Parts};

#[derive(Clone)]
struct Reloader {
    overrides: Arc<Overrides>,
    is_good: Gauge,
    hash: HashGauge,
}

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let reloader = Reloader {
        overrides: Arc::clone(&env.overrides),
        is_good: env.metrics.gauge(
            "cortex_runtime_config_last_reload_successful",
            "Whether the last runtime-config reload attempt was successful",
        ),
        hash: HashGauge::new(
            &env.metrics,
            "cortex_runtime_config_hash",
            "Hash of the current runtime configuration",
        ),
    };
    if !env.overrides.has_files() {
        return Ok(());
    }
    reloader.reload().context("-runtime-config.file")?;
    let pool = env.pools.background.clone();
    let period = env.config.runtime_config.period.std();
    let service = TimerService::new("runtime-config", period, move || {
        let reloader = reloader.clone();
        let reload = pool.run(move || reloader.reload());
        async move { Ok(reload.await??) }
    });
    parts.service(Arc::new(service), &[])
}

impl Reloader {
    fn reload(&self) -> Result<(), config::ConfigError> {
        match self.overrides.reload() {
            Ok(has_changed) => {
                self.is_good.set(1);
                if has_changed {
                    self.changed();
                }
                Ok(())
            }
            Err(error) => {
                self.is_good.set(0);
                Err(error)
            }
        }
    }

    fn changed(&self) {
        self.hash.set(&self.overrides.source_text());
        tracing::info!("runtime configuration loaded");
        let unsupported = self.overrides.unsupported();
        if !unsupported.is_empty() {
            let options: Vec<String> = unsupported.iter().map(ToString::to_string).collect();
            let options = options.join(", ");
            tracing::warn!(options, "limits were set that are known but have no effect yet");
        }
    }
}
