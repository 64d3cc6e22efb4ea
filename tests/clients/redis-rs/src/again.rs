//! A node dies and comes back: what redis-rs has for that, a `ConnectionManager`, goes on.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig, SendError};
use redis::{AsyncTypedCommands, PushInfo, RedisResult};
use tokio::time::sleep;

use crate::{SOON, Story, ask};

pub fn tell(story: &mut Story) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(go_on(story));
}

async fn go_on(story: &mut Story) {
    let (news, heard) = mpsc::channel();
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(50)
        .set_max_delay(Duration::from_millis(500));
    let [_, second, third] = story.clients.clone();
    let mut c = ConnectionManager::new(third).await.expect("n3");
    // In RESP2 a connection that listens does nothing else, and is not made again.
    let listens = story.protocol == 3;
    let config = match listens {
        false => config,
        true => config
            .set_automatic_resubscription()
            .set_push_sender(move |push: PushInfo| {
                let message = redis::Msg::from_push_info(push);
                let text = message.and_then(|message| message.get_payload::<String>().ok());
                text.map_or(Ok(()), |text| news.send(text).map_err(|_| SendError))
            }),
    };
    let mut b = ConnectionManager::new_with_config(second, config)
        .await
        .expect("n2");
    let (key, channel) = (story.key("again"), story.key("news again"));
    if listens {
        b.subscribe(&channel).await.expect("SUBSCRIBE");
        check_link(story, &mut c, &channel, &heard).await;
    }

    story.answers("SET", b.set(&key, "before").await, ());
    ask("kill 2");
    ask("start 2");
    let value = patient(&mut b, &key).await;
    story.answers("GET", value, Some("before".to_owned()));
    story.answers("SET", b.set(&key, "after").await, ());
    let value = patient(&mut c, &key).await;
    story.answers("GET elsewhere", value, Some("after".to_owned()));
    if listens {
        check_link(story, &mut c, &channel, &heard).await;
    }
}

/// The value, once the connection is there: what is asked while it is lost fails and has it made
/// again.
async fn patient(node: &mut ConnectionManager, key: &str) -> RedisResult<Option<String>> {
    let end = Instant::now() + SOON;
    loop {
        let value = node.get(key).await;
        if value.is_ok() || Instant::now() > end {
            return value;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes until it is heard, and checks that what follows is.
async fn check_link(
    story: &mut Story,
    c: &mut ConnectionManager,
    channel: &str,
    heard: &mpsc::Receiver<String>,
) {
    let end = Instant::now() + SOON;
    while heard.try_recv().is_err() && Instant::now() < end {
        c.publish(channel, "are you there?").await.expect("PUBLISH");
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_millis(400)).await;
    while heard.try_recv().is_ok() {}
    c.publish(channel, "hello").await.expect("PUBLISH");
    sleep(Duration::from_millis(400)).await;
    story.check("it listens", heard.try_recv(), Ok("hello".to_owned()));
}
