//! A native histogram in JSON: count, sum, and its buckets that are not empty as
//! `[boundary rule, left, right, count]`.

use model::FloatHistogram;

use super::float::{push_integer, push_quoted_float};

/// Appends a histogram as an object.
pub(super) fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(br#"{"count":"#);
    push_quoted_float(out, histogram.count);
    out.extend_from_slice(br#","sum":"#);
    push_quoted_float(out, histogram.sum);
    let mut is_first = true;
    for bucket in histogram.all_buckets().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(if is_first { br#","buckets":[["# } else { b",[" });
        is_first = false;
        push_integer(out, i64::from(bucket.boundary_rule()));
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_quoted_float(out, value);
        }
        out.push(b']');
    }
    if !is_first {
        out.push(b']');
    }
    out.push(b'}');
}
