//! Numbers and names for people.

use netdb::backup::Header;
use netdb::repl::utc;

pub use netdb::repl::bytes;

/// `1 value`, `2 values`.
pub fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Where a backup comes from.
pub fn origin(header: &Header) -> String {
    let (node, cluster) = (&header.node, &header.cluster);
    format!("{node} (cluster {cluster}, {})", utc(header.taken_ms))
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
