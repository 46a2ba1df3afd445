//! Conditions on what was loaded.

use super::loads::Load;
use super::values::{Form, hex, names, value};

/// Returns what is compared: the field, and its bits if those are not all.
pub(super) fn subject(load: &Load) -> String {
    let Some(mask) = &load.mask else { return load.what.clone() };
    let mask = match load.form {
        Form::TcpFlags | Form::State | Form::Status => format!("({})", names(load.form, mask, " | ")),
        Form::Address | Form::Address6 | Form::Mark => value(load.form, mask),
        _ => format!("0x{}", hex(mask)),
    };
    format!("{} & {mask}", load.what)
}

/// Returns the words for: it is this.
pub(super) fn equal(load: &Load, bytes: &[u8]) -> String {
    let none = bits(load, bytes).map(|bits| format!("{} ! {bits}", load.what));
    none.unwrap_or_else(|| match network(load, bytes) {
        Some(network) => format!("{} {network}", load.what),
        None if load.mask.is_some() => format!("{} == {}", subject(load), value(load.form, bytes)),
        None => format!("{} {}", load.what, value(load.form, bytes)),
    })
}

/// Returns the words for: it is anything but this.
pub(super) fn unequal(load: &Load, bytes: &[u8]) -> String {
    let any = bits(load, bytes).map(|bits| format!("{} {bits}", load.what));
    any.unwrap_or_else(|| match network(load, bytes) {
        Some(network) => format!("{} != {network}", load.what),
        None => format!("{} != {}", subject(load), value(load.form, bytes)),
    })
}

/// Returns the words for: it comes before or after this.
pub(super) fn ordered(load: &Load, how: &str, bytes: &[u8]) -> String {
    format!("{} {how} {}", subject(load), value(load.form, bytes))
}

/// Returns the states of which one or none is asked for: the bits that are compared with zero.
fn bits(load: &Load, bytes: &[u8]) -> Option<String> {
    let is_any = matches!(load.form, Form::State | Form::Status) && bytes.iter().all(|byte| *byte == 0);
    load.mask.as_deref().filter(|_| is_any).map(|mask| names(load.form, mask, ","))
}

/// Returns a network, if the compared bits of an address are its first ones.
fn network(load: &Load, bytes: &[u8]) -> Option<String> {
    let whole = match load.form {
        Form::Address => 4,
        Form::Address6 => 16,
        _ => return None,
    };
    let prefix = match &load.mask {
        Some(mask) => prefix(mask)?,
        None if bytes.len() < whole => u32::try_from(bytes.len()).ok()? * 8,
        None => return None,
    };
    Some(format!("{}/{prefix}", value(load.form, bytes)))
}

/// Returns how many bits are set, if those are the first ones.
fn prefix(mask: &[u8]) -> Option<u32> {
    let set = mask.iter().map(|byte| byte.count_ones()).sum();
    let whole = mask.iter().take_while(|byte| **byte == u8::MAX).count();
    let first = u32::try_from(whole).ok()? * 8 + mask.get(whole).map_or(0, |byte| byte.leading_ones());
    (first == set).then_some(set)
}
