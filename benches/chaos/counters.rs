//! Numbers that all clients add to: in the end each is the sum of what was acknowledged, and of
//! no more than what may have been done beside.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use netdb::resp::Value;

use crate::caller::{Called, Caller, status_of};
use crate::checker::Status;

/// How many there are: each client often meets the others at one.
const COUNTERS: usize = 4;

/// Pause between two looks at nodes that do not agree yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was added to each.
#[derive(Default)]
pub struct Counters([Added; COUNTERS]);

#[derive(Default)]
struct Added {
    acknowledged: AtomicI64,
    /// What became of it is not known.
    perhaps: AtomicI64,
}

/// What was added to all of them.
pub struct Sums {
    pub acknowledged: i64,
    pub perhaps: i64,
}

impl Counters {
    /// Adds `amount` to the `number`th, by this client.
    pub async fn add(&self, caller: &mut Caller, number: usize, amount: i64) {
        let number = number % COUNTERS;
        let (key, text) = (key(number), amount.to_string());
        let command: [&[u8]; 3] = [b"INCRBY", key.as_bytes(), text.as_bytes()];
        let added = &self.0[number];
        let sum = match caller.call(&command).await {
            Called::NotSent => return,
            Called::Unknown => &added.perhaps,
            Called::Answered(answer) => match status_of(&answer) {
                Status::Ok => &added.acknowledged,
                Status::Indeterminate => &added.perhaps,
                Status::Failed => return,
            },
        };
        sum.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn sums(&self) -> Sums {
        let sum = |of: fn(&Added) -> &AtomicI64| {
            let all = self.0.iter().map(|added| of(added).load(Ordering::Relaxed));
            all.sum()
        };
        Sums {
            acknowledged: sum(|added| &added.acknowledged),
            perhaps: sum(|added| &added.perhaps),
        }
    }

    /// What is wrong with them on healed nodes, which may take `bound` to agree.
    pub async fn judge(&self, nodes: &[(String, SocketAddr)], bound: Duration) -> Vec<String> {
        let mut complaints = Vec::new();
        let since = Instant::now();
        for (number, added) in self.0.iter().enumerate() {
            let key = key(number);
            let values = loop {
                let values = ask_all(nodes, &key).await;
                let agree = values.windows(2).all(|two| two[0] == two[1]);
                if agree && values[0].is_some() || since.elapsed() > bound {
                    break values;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            let acknowledged = added.acknowledged.load(Ordering::Relaxed);
            let most = acknowledged + added.perhaps.load(Ordering::Relaxed);
            let is_right = |value: &Option<i64>| {
                let value = value.unwrap_or(0);
                (acknowledged..=most).contains(&value) && Some(value) == values[0].or(Some(0))
            };
            if !values.iter().all(is_right) {
                complaints.push(format!(
                    "{key} is {values:?}; {acknowledged} acknowledged, {most} at most"
                ));
            }
        }
        complaints
    }
}

async fn ask_all(nodes: &[(String, SocketAddr)], key: &str) -> Vec<Option<i64>> {
    let mut values = Vec::new();
    for (_, addr) in nodes {
        let mut caller = Caller::new(*addr);
        let mut value = None;
        if caller.connect().await
            && let Called::Answered(Value::Bulk(bytes)) =
                caller.call(&[b"GET", key.as_bytes()]).await
        {
            value = String::from_utf8_lossy(&bytes).parse().ok();
        }
        values.push(value);
    }
    values
}

fn key(number: usize) -> String {
    format!("counter:{number}")
}
