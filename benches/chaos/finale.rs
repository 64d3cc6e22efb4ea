//! What every node answers once all is healed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netdb::resp::Value;

use crate::caller::{Called, Caller};
use crate::checker::Answer;
use crate::load::{Stage, decode};

/// Connections per node that read at the same time.
const READERS: usize = 4;

/// Times that one read is tried: a node may just have started.
const TRIES: usize = 20;

/// Nodes that agree must still agree this much later: longer than a round of anti-entropy.
const STAYS: Duration = Duration::from_millis(2_500);

/// Pause between two looks at nodes that do not agree yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What all nodes answer for every key.
type Answers = Vec<Vec<Answer>>;

/// The end of a run.
pub struct Finale {
    pub answers: Vec<Answer>,
    /// When all nodes first agreed, from `since`; none if they never did.
    pub converged: Option<Duration>,
}

/// Waits until all nodes answer the same for every key and go on doing so, within `bound`.
pub async fn converge(
    stage: &Arc<Stage>,
    keys: &BTreeSet<String>,
    since: Instant,
    bound: Duration,
) -> Result<Finale, String> {
    let keys: Arc<Vec<String>> = Arc::new(keys.iter().cloned().collect());
    loop {
        let answers = ask_all(stage, &keys).await?;
        let agreed = since.elapsed();
        if agree(&answers) {
            tokio::time::sleep(STAYS).await;
            let later = ask_all(stage, &keys).await?;
            if later == answers {
                return Ok(finale(later, Some(agreed)));
            }
        }
        if since.elapsed() > bound {
            return Ok(finale(answers, None));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn finale(answers: Answers, converged: Option<Duration>) -> Finale {
    Finale {
        answers: answers.into_iter().flatten().collect(),
        converged,
    }
}

fn agree(answers: &Answers) -> bool {
    let values = |answers: &[Answer]| -> Vec<Vec<String>> {
        answers.iter().map(|answer| answer.values.clone()).collect()
    };
    let mut all = answers.iter().map(|answers| values(answers));
    let first = all.next();
    all.all(|values| Some(values) == first)
}

async fn ask_all(stage: &Arc<Stage>, keys: &Arc<Vec<String>>) -> Result<Answers, String> {
    let mut asked = Vec::new();
    for (name, addr) in &stage.nodes {
        let share = keys.len().div_ceil(READERS).max(1);
        let parts = (0..keys.len()).step_by(share);
        let parts = parts.map(|from| from..keys.len().min(from + share));
        let tasks: Vec<_> = parts
            .map(|part| tokio::spawn(ask(name.clone(), *addr, keys.clone(), part)))
            .collect();
        asked.push(tasks);
    }
    let mut answers = Vec::new();
    for tasks in asked {
        let mut of_node = Vec::new();
        for task in tasks {
            of_node.extend(task.await.map_err(|error| error.to_string())??);
        }
        answers.push(of_node);
    }
    Ok(answers)
}

/// Reads some of the keys at one node.
async fn ask(
    node: String,
    addr: SocketAddr,
    keys: Arc<Vec<String>>,
    part: std::ops::Range<usize>,
) -> Result<Vec<Answer>, String> {
    let mut caller = Caller::new(addr);
    let mut answers = Vec::new();
    for key in &keys[part] {
        let values = ask_one(&mut caller, key).await;
        answers.push(Answer {
            node: node.clone(),
            key: key.clone(),
            values: values.ok_or_else(|| format!("{node} does not answer at the end"))?,
        });
    }
    Ok(answers)
}

async fn ask_one(caller: &mut Caller, key: &str) -> Option<Vec<String>> {
    for _ in 0..TRIES {
        if !caller.connect().await {
            continue;
        }
        match caller.call(&[b"GET", key.as_bytes()]).await {
            Called::Answered(Value::Bulk(bytes)) => return Some(vec![decode(&bytes)]),
            Called::Answered(Value::Null) => return Some(Vec::new()),
            _ => {}
        }
    }
    None
}
