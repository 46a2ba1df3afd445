//! Whether expressions are the same: those that dockfw has written, and those that the kernel reports.

use crate::netlink::attributes::{Attribute, Attributes};
use crate::netlink::uapi::expr;

/// Returns whether the kernel's list of expressions is ours: the same kernel objects with the same attributes.
pub(crate) fn same_expressions(ours: &[u8], theirs: &[u8]) -> bool {
    let (mut ours, mut theirs) = (Attributes(ours), Attributes(theirs));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return ours.0.is_empty() && theirs.0.is_empty(),
            (Some(our), Some(their)) if same_expression(our.value, their.value) => {}
            _ => return false,
        }
    }
}

fn same_expression(ours: &[u8], theirs: &[u8]) -> bool {
    let (ours, theirs) = (Attributes(ours), Attributes(theirs));
    let name = |attributes: Attributes<'_>| attributes.find(expr::NAME).map(|name| name.text().to_owned());
    name(ours) == name(theirs)
        && same_attributes(ours.value(expr::DATA), theirs.value(expr::DATA), same_option)
}

/// Returns whether all of our attributes are among the kernel's with the same values, and everything else that the
/// kernel reports is zero: it lists options that were not given.
fn same_attributes(ours: &[u8], theirs: &[u8], same: fn(Attribute<'_>, Attribute<'_>) -> bool) -> bool {
    let (ours, mut theirs) = (Attributes(ours), Attributes(theirs));
    let is_there = |our: Attribute<'_>| theirs.find(our.kind).is_some_and(|their| same(our, their));
    let all_there = ours.into_iter().all(is_there);
    all_there
        && theirs.all(|their| ours.find(their.kind).is_some() || their.value.iter().all(|byte| *byte == 0))
}

/// Compares an option of an expression. Its strings are names, which libnftnl does not always end with a NUL.
fn same_option(our: Attribute<'_>, their: Attribute<'_>) -> bool {
    same_value(our, their) || !our.nested && their.value.strip_suffix(&[0]) == Some(our.value)
}

/// Compares a value inside of an option, byte by byte: `br-` and `br-` with a NUL are a prefix and a name.
fn same_value(our: Attribute<'_>, their: Attribute<'_>) -> bool {
    // libnftnl marks what is nested, the kernel does not always.
    if our.nested { same_attributes(our.value, their.value, same_value) } else { our.value == their.value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes::{NESTED, put, put_number, put_text};

    fn number(kind: u16, number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, kind, number);
        bytes
    }

    /// Returns a list of one expression, as the kernel or libnftnl would write it.
    fn list(name: &str, attributes: &[u8], nested: u16) -> Vec<u8> {
        let (mut expression, mut list) = (Vec::new(), Vec::new());
        put_text(&mut expression, expr::NAME, name.as_bytes());
        put(&mut expression, 2 | nested, attributes);
        put(&mut list, 1 | nested, &expression);
        list
    }

    #[test]
    fn an_expression_is_ours_only_with_our_values_and_zeros() {
        let ours = list("meta", &[number(1, 7), number(2, 1)].concat(), NESTED);
        let same =
            |name, attributes: &[Vec<u8>]| same_expressions(&ours, &list(name, &attributes.concat(), 0));
        assert!(same("meta", &[number(1, 7), number(2, 1)]), "without the flags of nesting");
        assert!(same("meta", &[number(2, 1), number(1, 7), number(9, 0)]), "in another order, a zero more");
        assert!(!same("meta", &[number(1, 7), number(2, 1), number(9, 1)]), "an option more");
        assert!(!same("meta", &[number(1, 7)]), "an option less");
        assert!(!same("meta", &[number(1, 6), number(2, 1)]), "another value");
        assert!(!same("ct", &[number(1, 7), number(2, 1)]), "another expression");
    }

    #[test]
    fn a_nul_at_the_end_matters_in_values_and_not_in_names() {
        let name = |text: &[u8]| {
            let mut name = Vec::new();
            put(&mut name, 2, text);
            name
        };
        assert!(same_expressions(
            &list("objref", &name(b"hits"), NESTED),
            &list("objref", &name(b"hits\0"), 0)
        ));
        let value = |text: &[u8], nested| {
            let mut value = Vec::new();
            put(&mut value, 3 | nested, &name(text));
            list("cmp", &value, nested)
        };
        assert!(same_expressions(&value(b"br-", NESTED), &value(b"br-", 0)));
        assert!(!same_expressions(&value(b"br-", NESTED), &value(b"br-\0", 0)));
    }

    #[test]
    fn lists_of_other_lengths_differ() {
        let one = list("counter", &[], NESTED);
        let two = [one.clone(), one.clone()].concat();
        assert!(same_expressions(&one, &one));
        assert!(
            !same_expressions(&one, &two) && !same_expressions(&two, &one) && !same_expressions(&one, &[])
        );
    }
}
