//! Tests of whole operations. Expectations are those of Prometheus' test scripts, or come from
//! a plain map of buckets that every operation is compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

mod expression;
mod properties;
mod scripts;

use expression::parse;
