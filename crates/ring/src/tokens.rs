//! Tokens: where a key belongs, new tokens, and the file that keeps them over a restart.

use std::path::Path;

use hashbrown::HashSet;
use model::Random;
use model::env::SeededRandom;
use serde::{Deserialize, Serialize};

/// The index of the owner of `key` in sorted tokens: the first token that is greater, wrapping.
/// 0 for no tokens.
pub fn search_token(tokens: &[u32], key: u32) -> usize {
    let index = tokens.partition_point(|token| *token <= key);
    if index == tokens.len() { 0 } else { index }
}

/// How many keys lie between two tokens, going up and wrapping; all of them for equal tokens.
pub fn token_distance(from: u32, to: u32) -> u64 {
    let distance = u64::from(to.wrapping_sub(from));
    if distance == 0 { 1 << 32 } else { distance }
}

/// `count` new tokens that nobody has, sorted.
pub fn random_tokens(random: &dyn Random, count: usize, taken: &[u32]) -> Vec<u32> {
    let mut used: HashSet<u32> = taken.iter().copied().collect();
    let mut tokens = Vec::with_capacity(count);
    while tokens.len() < count {
        let candidate = (random.next_u64() >> 32) as u32;
        if used.insert(candidate) {
            tokens.push(candidate);
        }
    }
    tokens.sort_unstable();
    tokens
}

/// `count` tokens for the instance `id` that nobody has, sorted: the same ones whenever it comes
/// into a ring, as far as they are free. Persisted in rings, keep stable.
pub fn own_tokens(id: &str, count: usize, taken: &[u32]) -> Vec<u32> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = id.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    random_tokens(&SeededRandom::new(seed), count, taken)
}

#[derive(Serialize, Deserialize)]
struct TokensFile {
    #[serde(default)]
    tokens: Option<Vec<u32>>,
}

/// Writes the file of tokens as Mimir does, through a file beside it. Blocks.
pub fn store_tokens(path: &Path, tokens: &[u32]) -> std::io::Result<()> {
    let json = serde_json::to_vec(&TokensFile { tokens: Some(tokens.to_vec()) })?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = std::fs::File::create(&beside)?;
    std::io::Write::write_all(&mut file, &json)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Reads the file of tokens; sorted. `None` when there is no such file. Blocks.
pub fn load_tokens(path: &Path) -> std::io::Result<Option<Vec<u32>>> {
    let json = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        json => json?,
    };
    let file: TokensFile = serde_json::from_slice(&json)?;
    let mut tokens = file.tokens.unwrap_or_default();
    tokens.sort_unstable();
    tokens.dedup();
    Ok(Some(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_strictly_greater_and_wraps() {
        let tokens = [10, 20, 30];
        for (key, owner) in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (29, 2), (30, 0), (99, 0)] {
            assert_eq!(search_token(&tokens, key), owner, "key {key}");
        }
        assert_eq!(search_token(&[], 7), 0);
        assert_eq!((token_distance(1, 3), token_distance(3, 1)), (2, (1 << 32) - 2));
        assert_eq!(token_distance(5, 5), 1 << 32);
    }

    #[test]
    fn new_tokens_are_nobodys() {
        let random = SeededRandom::new(1);
        let taken = random_tokens(&random, 500, &[]);
        // The same numbers again, of which none may be taken.
        let fresh = random_tokens(&SeededRandom::new(1), 500, &taken);
        assert!(taken.is_sorted() && fresh.is_sorted());
        assert_eq!((taken.len(), fresh.len()), (500, 500));
        assert!(fresh.iter().all(|token| !taken.contains(token)));
    }

    #[test]
    fn tokens_come_back_from_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert_eq!(load_tokens(&path).unwrap(), None);
        store_tokens(&path, &[3, 1]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"tokens":[3,1]}"#);
        assert_eq!(load_tokens(&path).unwrap(), Some(vec![1, 3]));
        std::fs::write(&path, "x").unwrap();
        assert!(load_tokens(&path).is_err());
    }
}
