//! Why two vectors cannot be matched; Prometheus' texts.

use model::Labels;

use crate::engine::QueryError;

/// Two series of the "one" side cannot be told apart.
pub(super) fn duplicate_on_one_side(
    matched: &Labels,
    one_is_left: bool,
    pair: [&Labels; 2],
) -> QueryError {
    let side = if one_is_left { "left" } else { "right" };
    let mut pair = pair.map(ToString::to_string);
    pair.sort_unstable();
    let [first, second] = pair;
    QueryError::execution(format!(
        "found duplicate series for the match group {matched} on the {side} hand-side of the \
         operation: [{first}, {second}];many-to-many matching not allowed: matching labels must \
         be unique on one side"
    ))
}

/// Two series of the left side belong to one of the right.
pub(super) fn many_to_one_not_explicit() -> QueryError {
    QueryError::execution(
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)",
    )
}

/// Two pairs have the same result labels.
pub(super) fn grouping_not_unique() -> QueryError {
    QueryError::execution("multiple matches for labels: grouping labels must ensure unique matches")
}
