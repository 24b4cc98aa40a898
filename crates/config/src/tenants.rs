//! Which tenants a component works for, where its options name some. Asked by the components.

use crate::value::CommaList;

/// Tenants that are taken or left out by their names.
#[derive(Debug, Clone, Default)]
pub struct AllowedTenants {
    enabled: Vec<String>,
    disabled: Vec<String>,
}

impl AllowedTenants {
    /// Those of `enabled`, or all where it is empty, without those of `disabled`.
    pub fn new(enabled: &CommaList, disabled: &CommaList) -> Self {
        Self { enabled: enabled.0.clone(), disabled: disabled.0.clone() }
    }

    /// Whether the component works for `tenant`.
    pub fn allows(&self, tenant: &str) -> bool {
        let is = |names: &[String]| names.iter().any(|name| name == tenant);
        (self.enabled.is_empty() || is(&self.enabled)) && !is(&self.disabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_disabled_is_left_out_even_where_it_is_enabled() {
        let list = |names: &[&str]| CommaList(names.iter().map(|&name| name.to_owned()).collect());
        let allowed = |enabled: &[&str], disabled: &[&str]| {
            let tenants = AllowedTenants::new(&list(enabled), &list(disabled));
            ["a", "b", "c"].into_iter().filter(|t| tenants.allows(t)).collect::<String>()
        };
        assert_eq!(allowed(&[], &[]), "abc");
        assert_eq!(allowed(&["a", "b"], &[]), "ab");
        assert_eq!(allowed(&[], &["b"]), "ac");
        assert_eq!(allowed(&["a", "b"], &["b"]), "a");
    }
}
