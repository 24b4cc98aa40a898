//! The matcher that asks for one of several parts of the series: `__query_shard__="1_of_16"`, as
//! senders of sharded queries put it. It is no label: it is taken out before series are looked
//! for, and what remains is a [`Shard`] to filter by.

use std::borrow::Cow;

use model::{MatchOp, Matcher, SelectHints, Shard, StorageError};

/// The name that stands for a part of the series.
pub const QUERY_SHARD_LABEL: &str = "__query_shard__";

/// The matchers without the one that names a shard, and the shard that it or the hints name.
pub fn query_shard<'m>(
    matchers: &'m [Matcher],
    hints: &SelectHints,
) -> Result<(Cow<'m, [Matcher]>, Option<Shard>), StorageError> {
    let hinted = hints.shard.filter(|shard| shard.count > 0);
    let is_shard =
        |matcher: &Matcher| matcher.name() == QUERY_SHARD_LABEL && matcher.op() == MatchOp::Equal;
    let Some(position) = matchers.iter().position(is_shard) else {
        return Ok((Cow::Borrowed(matchers), hinted));
    };
    let text = String::from_utf8_lossy(matchers[position].value());
    let shard = parse(&text)
        .ok_or_else(|| StorageError::BadRequest(format!("invalid query shard {text:?}")))?;
    let mut rest = matchers.to_vec();
    rest.remove(position);
    Ok((Cow::Owned(rest), Some(shard)))
}

/// `<index from 1>_of_<count>`.
fn parse(text: &str) -> Option<Shard> {
    let (index, count) = text.split_once("_of_")?;
    let (index, count): (u64, u64) = (index.parse().ok()?, count.parse().ok()?);
    (1..=count).contains(&index).then(|| Shard { index: index - 1, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_taken_out_of_the_matchers() {
        let matchers = [
            Matcher::equal("a", "1"),
            Matcher::equal(QUERY_SHARD_LABEL, "3_of_16"),
            Matcher::equal("b", "2"),
        ];
        let (rest, shard) = query_shard(&matchers, &SelectHints::default()).unwrap();
        assert_eq!(*rest, [matchers[0].clone(), matchers[2].clone()]);
        assert_eq!(shard, Some(Shard { index: 2, count: 16 }));
        let hints = SelectHints { shard: Some(Shard { index: 1, count: 2 }), ..Default::default() };
        let (rest, shard) = query_shard(&matchers[..1], &hints).unwrap();
        assert_eq!((rest.len(), shard), (1, hints.shard));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["", "0_of_4", "5_of_4", "1_of_0", "1of2", "a_of_b", "-1_of_2", "1_of_2_of_3"] {
            let matcher = Matcher::equal(QUERY_SHARD_LABEL, text);
            assert!(query_shard(&[matcher], &SelectHints::default()).is_err(), "{text}");
        }
    }
}
