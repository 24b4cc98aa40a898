//! Connections to the instances of a ring: a service drops those that lead nowhere.

use std::sync::Arc;
use std::time::Duration;

use rt::Service;
use rt::service::TimerService;

use super::view;
use crate::env::Env;
use crate::rings::JoinedRing;

/// A service that keeps connections to the instances of a ring alone. `tend` is given their
/// addresses and the monotonic time.
pub(crate) fn tend_connections<F>(
    (name, period): (&'static str, Duration),
    (env, ring): (&Env, &JoinedRing),
    tend: impl Fn(Vec<String>, Duration) -> F + Send + Sync + 'static,
) -> Arc<dyn Service>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (view, clock) = (view(ring), Arc::clone(&env.clock));
    let tick = move || {
        let known = view().instances().iter().map(|instance| instance.addr.clone()).collect();
        let tended = tend(known, clock.monotonic());
        async move {
            tended.await;
            Ok(())
        }
    };
    Arc::new(TimerService::new(name, period, tick))
}
