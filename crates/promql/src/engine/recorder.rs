//! Annotations of expressions that stand in a query several times but are evaluated once: kept by
//! their place, and repeated for the other places.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::context::Site;
use crate::annotations::{Annotation, Annotations};

/// The annotations of a query by their places.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<BTreeMap<Site, Annotations>>);

impl Recorder {
    /// Keeps an annotation.
    pub(crate) fn record(&self, site: Site, annotation: Annotation) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(site).or_default().add(site.order, site.pos, annotation);
    }

    /// The annotations of a place.
    pub(crate) fn of(&self, site: Site) -> Vec<Annotation> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(&site).map(|all| all.all().cloned().collect()).unwrap_or_default()
    }
}
