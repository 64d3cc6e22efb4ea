//! What each command answers.

use super::*;

#[tokio::test]
async fn put_get_delete() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call("SET a 1").await, Value::ok());
    assert_eq!(peer.call("get a").await, Value::bulk("1"));
    assert_eq!(peer.call("SET b 2").await, Value::ok());
    assert_eq!(peer.call("EXISTS a b a c").await, Value::Integer(3));
    assert_eq!(peer.call("DBSIZE").await, Value::Integer(2));
    assert_eq!(peer.call("DEL a b c").await, Value::Integer(2));
    assert_eq!(peer.call("GET a").await, Value::Null);
    assert_eq!(peer.call("PING").await, Value::simple("PONG"));
    assert_eq!(peer.call("PING x").await, Value::bulk("x"));
    assert_eq!(peer.call("ECHO x").await, Value::bulk("x"));
}

#[tokio::test]
async fn errors_have_the_words_that_clients_know() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for (line, text) in [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("get a b", "ERR wrong number of arguments for 'get' command"),
        (
            "PING a b",
            "ERR wrong number of arguments for 'ping' command",
        ),
        (
            "CLIENT",
            "ERR wrong number of arguments for 'client' command",
        ),
        (
            "CLIENT SETNAME",
            "ERR wrong number of arguments for 'client|setname' command",
        ),
        (
            "CLIENT FOO",
            "ERR unknown subcommand 'FOO'. Try CLIENT HELP.",
        ),
        (
            "foo a b",
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' ",
        ),
        ("SET a 1 NX XX", "ERR syntax error"),
        ("SET a 1 EX 0", "ERR invalid expire time in 'set' command"),
        (
            "MSET a 1 b",
            "ERR wrong number of arguments for 'mset' command",
        ),
        (
            "LPUSH a",
            "ERR unknown command 'LPUSH', with args beginning with: 'a' ",
        ),
        ("SELECT 1", "ERR DB index is out of range"),
        ("SELECT x", "ERR value is not an integer or out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        (
            "HELLO x",
            "ERR Protocol version is not an integer or out of range",
        ),
        ("HELLO 3 FOO", "ERR Syntax error in HELLO option 'FOO'"),
        (
            "AUTH nobody x",
            "WRONGPASS invalid username-password pair or user is disabled.",
        ),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        (
            "SCAN 0 COUNT x",
            "ERR value is not an integer or out of range",
        ),
        ("SCAN 0 MATCH", "ERR syntax error"),
        (
            "COMMAND GETKEYS PING x",
            "ERR The command has no key arguments",
        ),
        ("COMMAND GETKEYS NOPE x", "ERR Invalid command specified"),
        (
            "COMMAND GETKEYS OBJECT NOPE a",
            "ERR Invalid command specified",
        ),
        (
            "COMMAND GETKEYSANDFLAGS NOPE x",
            "ERR Invalid command specified",
        ),
        (
            "COMMAND GETKEYS GET",
            "ERR wrong number of arguments for 'command|getkeys' command",
        ),
        (
            "COMMAND GETKEYS MSET a",
            "ERR Invalid number of arguments specified for command",
        ),
        ("COMMAND LIST FILTERBY PATTERN", "ERR syntax error"),
        ("COMMAND LIST FILTERBY COLOUR red", "ERR syntax error"),
        (
            "COMMAND NOPE",
            "ERR unknown subcommand 'NOPE'. Try COMMAND HELP.",
        ),
    ] {
        assert_eq!(peer.error(line).await, text, "{line}");
    }
    assert_eq!(peer.call("PING").await, Value::simple("PONG"));
}

#[tokio::test]
async fn hello_chooses_the_dialect() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    let hello = peer.call("HELLO 3 AUTH default any SETNAME me").await;
    let Value::Map(pairs) = hello else {
        panic!("{hello:?}");
    };
    assert_eq!(field(&pairs, "proto"), &Value::Integer(3));
    assert_eq!(field(&pairs, "server"), &Value::bulk("netdb"));
    assert_eq!(peer.call("CLIENT GETNAME").await, Value::bulk("me"));
    assert_eq!(peer.call_line("GET none").await, "_\r\n");
    assert!(matches!(peer.call("HELLO").await, Value::Map(_)));
    assert!(matches!(peer.call("HELLO 2").await, Value::Array(_)));
    assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    assert!(matches!(peer.call("HELLO 3").await, Value::Map(_)));
    assert_eq!(peer.call("RESET").await, Value::simple("RESET"));
    assert_eq!(peer.call_line("CLIENT GETNAME").await, "$-1\r\n");
}

#[tokio::test]
async fn a_refused_hello_changes_nothing() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for line in [
        "HELLO 3 AUTH nobody x",
        "HELLO 3 SETNAME a\u{7f}",
        "HELLO 3 SETNAME",
    ] {
        peer.error(line).await;
        assert_eq!(peer.call_line("GET none").await, "$-1\r\n");
    }
}

#[tokio::test]
async fn client_commands() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
    assert_eq!(peer.call("CLIENT SETNAME first").await, Value::ok());
    assert_eq!(peer.call("CLIENT SETINFO LIB-NAME lib").await, Value::ok());
    assert_eq!(peer.call("CLIENT SETINFO LIB-VER 1.2").await, Value::ok());
    peer.error("CLIENT SETINFO COLOUR red").await;
    peer.send(&request(&["CLIENT", "SETNAME", "a b"])).await;
    assert!(matches!(peer.receive().await, Some(Value::Error(_))));
    assert_eq!(peer.call("CLIENT NO-EVICT on").await, Value::ok());
    let Value::Integer(id) = peer.call("CLIENT ID").await else {
        panic!("an id");
    };
    let list = peer.call("CLIENT LIST").await;
    let list = String::from_utf8(list.as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
    let mine = format!("id={id} addr=");
    let line = list.lines().find(|line| line.starts_with(&mine)).unwrap();
    assert!(
        line.contains(" name=first ") && line.contains(" lib-name=lib "),
        "{line}"
    );
    let one = peer.call(&format!("CLIENT LIST ID {id}")).await;
    let one = String::from_utf8(one.as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(one.lines().count(), 1, "{one}");
}

#[tokio::test]
async fn keys_and_scan() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for n in 0..25 {
        peer.call(&format!("SET key:{n:02} v")).await;
    }
    peer.call("SET other v").await;
    assert_eq!(
        peer.call("KEYS key:0[1-3]").await,
        bulks(&["key:01", "key:02", "key:03"])
    );
    let mut cursor = "0".to_owned();
    let mut seen = 0;
    loop {
        let page = peer
            .call(&format!("SCAN {cursor} MATCH key:* COUNT 7 TYPE string"))
            .await;
        let Value::Array(parts) = page else {
            panic!("{page:?}");
        };
        let [Value::Bulk(next), Value::Array(keys)] = &parts[..] else {
            panic!("{parts:?}");
        };
        seen += keys.len();
        cursor = String::from_utf8(next.to_vec()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, 25);
    let none = peer.call("SCAN 0 TYPE hash COUNT 100").await;
    assert_eq!(none, Value::Array(vec![Value::bulk("0"), bulks(&[])]));
    let page = peer.call("NETDB KEYS key: AFTER key:02 COUNT 2").await;
    assert_eq!(page, bulks(&["key:03", "key:04"]));
    assert_eq!(peer.call("NETDB KEYS other").await, bulks(&["other"]));
    for wrong in ["AFTER", "COUNT 0", "BEFORE key:02"] {
        peer.error(&format!("NETDB KEYS key: {wrong}")).await;
    }
    let long = "x".repeat(2_000);
    assert!(
        peer.error(&format!("KEYS {long}"))
            .await
            .contains("too long")
    );
}

#[tokio::test]
async fn command_describes_the_table() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let Value::Integer(count) = peer.call("COMMAND COUNT").await else {
        panic!("a count");
    };
    for line in ["COMMAND", "COMMAND INFO"] {
        let Value::Array(rows) = peer.call(line).await else {
            panic!("{line}");
        };
        assert_eq!(rows.len(), count as usize, "{line}");
    }
    let docs = peer.call("COMMAND DOCS").await.into_pairs().unwrap();
    assert_eq!(docs.len(), count as usize);
    let get = field(&docs, "get").clone().into_pairs().unwrap();
    assert_eq!(field(&get, "group"), &Value::bulk("string"));
    let Value::Array(rows) = peer.call("COMMAND INFO get nope client|id").await else {
        panic!("rows");
    };
    assert!(matches!(
        &rows[..],
        [Value::Array(_), Value::Null, Value::Array(_)]
    ));
    assert_eq!(
        peer.call("COMMAND GETKEYS DEL a b c").await,
        bulks(&["a", "b", "c"])
    );
    assert_eq!(peer.call("COMMAND GETKEYS SET a b").await, bulks(&["a"]));
    assert_eq!(
        peer.call("COMMAND LIST FILTERBY PATTERN ge*").await,
        bulks(&["get", "getdel", "getex", "getrange", "getset"])
    );
    assert_eq!(
        peer.call("COMMAND LIST FILTERBY PATTERN COMMAND|l*").await,
        bulks(&["command|list"])
    );
    for (filter, names) in [
        (
            "ACLCAT Transaction",
            &["discard", "exec", "multi", "unwatch", "watch"][..],
        ),
        ("ACLCAT @transaction", &[]),
        ("MODULE any", &[]),
    ] {
        let found = peer.call(&format!("COMMAND LIST FILTERBY {filter}")).await;
        assert_eq!(found, bulks(names), "{filter}");
    }
    let Value::Array(all) = peer.call("COMMAND LIST").await else {
        panic!("names");
    };
    assert!(all.len() > count as usize && all.contains(&Value::bulk("client|id")));
    let Value::Array(strings) = peer.call("COMMAND LIST FILTERBY ACLCAT string").await else {
        panic!("names");
    };
    assert!(strings.contains(&Value::bulk("append")) && !strings.contains(&Value::bulk("del")));
    for (command, keys) in [
        ("MSET a 1 b 2", &["a", "b"][..]),
        ("COPY a b REPLACE", &["a", "b"]),
        ("OBJECT ENCODING a", &["a"]),
    ] {
        let found = peer.call(&format!("COMMAND GETKEYS {command}")).await;
        assert_eq!(found, bulks(keys), "{command}");
    }
    for (command, accesses) in [
        ("SET a 1", &[("a", &["OW", "update"][..])][..]),
        ("SET a 1 EX 5 GET", &[("a", &["RW", "access", "update"])]),
        (
            "RENAMENX a b",
            &[("a", &["RW", "access", "delete"]), ("b", &["OW", "insert"])],
        ),
        ("WATCH a b", &[("a", &["RO"]), ("b", &["RO"])]),
        ("MGET a", &[("a", &["RO", "access"])]),
    ] {
        let flags = |words: &[&str]| words.iter().map(|word| Value::simple(*word)).collect();
        let found = accesses.iter().map(|(key, words)| {
            Value::Array(vec![
                Value::bulk((*key).to_owned()),
                Value::Array(flags(words)),
            ])
        });
        assert_eq!(
            peer.call(&format!("COMMAND GETKEYSANDFLAGS {command}"))
                .await,
            Value::Array(found.collect()),
            "{command}"
        );
    }
    for container in ["COMMAND", "CLIENT", "CONFIG", "NETDB", "OBJECT"] {
        let Value::Array(lines) = peer.call(&format!("{container} HELP")).await else {
            panic!("{container}");
        };
        assert!(lines.len() > 4, "{container}");
    }
}

#[tokio::test]
async fn info_has_its_sections() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.call("SET a 1").await;
    let text = |value: Value| String::from_utf8(value.as_bytes().unwrap().to_vec()).unwrap();
    let all = text(peer.call("INFO").await);
    for line in [
        "# Server\r\n",
        "redis_version:",
        "connected_clients:1\r\n",
        "role:master\r\n",
        "cluster_enabled:0\r\n",
        "db0:keys=1,expires=0,avg_ttl=0\r\n",
        "members_alive:1\r\n",
        "pushes_sent:5\r\n",
        "loading:0\r\n",
    ] {
        assert!(all.contains(line), "{line} in {all}");
    }
    let some = text(peer.call("INFO keyspace CLIENTS").await);
    assert!(some.starts_with("# Clients\r\n") && some.contains("# Keyspace"));
    assert!(!some.contains("# Server"), "{some}");
    assert_eq!(text(peer.call("INFO nothing").await), "");
}

#[tokio::test]
async fn a_connection_chooses_its_strengths() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let chosen = async |peer: &mut Peer, line: &str| {
        let pairs = peer.call(line).await.into_pairs().unwrap();
        let word = |name| field(&pairs, name).clone();
        (word("write"), word("read"), word("durability"))
    };
    let bulk = |word: &'static str| Value::bulk(word);
    let default = (bulk("quorum"), bulk("one"), bulk("interval"));
    assert_eq!(chosen(&mut peer, "NETDB CONSISTENCY").await, default);
    let strict = (bulk("strict-quorum"), bulk("one"), bulk("always"));
    let line = "NETDB CONSISTENCY write=strict-quorum durability=always";
    assert_eq!(chosen(&mut peer, line).await, strict);
    for wrong in [
        "write",
        "write=most",
        "write=all",
        "durability=never",
        "sync=all read=one",
    ] {
        let reply = peer
            .call(&format!("NETDB CONSISTENCY read=all {wrong}"))
            .await;
        assert_eq!(
            matches!(reply, Value::Error(_)),
            wrong != "write=all",
            "{wrong}"
        );
    }
    let both = (bulk("all"), bulk("all"), bulk("always"));
    assert_eq!(chosen(&mut peer, "NETDB CONSISTENCY").await, both);
    peer.call("RESET").await;
    assert_eq!(chosen(&mut peer, "NETDB CONSISTENCY").await, default);
}

#[tokio::test]
async fn netdb_members_and_status_in_both_dialects() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        peer.call(&format!("HELLO {}", protocol.number())).await;
        let Value::Array(members) = peer.call("NETDB MEMBERS").await else {
            panic!("members");
        };
        let first = members[0].clone().into_pairs().unwrap();
        assert_eq!(field(&first, "name"), &Value::bulk("one"));
        assert_eq!(field(&first, "client"), &Value::bulk("127.0.0.1:7379"));
        let me = match protocol {
            Protocol::Resp2 => Value::Integer(1),
            Protocol::Resp3 => Value::Boolean(true),
        };
        assert_eq!(field(&first, "me"), &me);
        let second = members[1].clone().into_pairs().unwrap();
        assert_eq!(field(&second, "client"), &Value::Null);
        let status = peer.call("NETDB STATUS").await.into_pairs().unwrap();
        assert_eq!(field(&status, "cluster"), &Value::bulk("test"));
        assert_eq!(field(&status, "pushes_sent"), &Value::Integer(5));
    }
}

#[tokio::test]
async fn values_of_many_keys() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call("MSET a 1 b 2").await, Value::ok());
    let values = Value::Array(vec![Value::bulk("1"), Value::Null, Value::bulk("2")]);
    assert_eq!(peer.call("MGET a none b").await, values);
    assert_eq!(peer.call("MSETNX c 3 b 4").await, Value::Integer(0));
    assert_eq!(peer.call("MSETNX c 3 d 4").await, Value::Integer(1));
    assert_eq!(peer.call("STRLEN d").await, Value::Integer(1));
    assert_eq!(peer.call("TOUCH a c x").await, Value::Integer(2));
    assert_eq!(peer.call("UNLINK a c x").await, Value::Integer(2));
    // One value, asked for so often that it does not fit a reply.
    let mut mget = vec!["MGET"];
    mget.resize(80, "long");
    let value = "x".repeat(1024 * 1024);
    peer.send(&request(&["SET", "long", &value])).await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    peer.send(&request(&mget)).await;
    let Some(Value::Error(text)) = peer.receive().await else {
        panic!("an error");
    };
    assert!(text.contains("ask for fewer keys"), "{text}");
}

#[tokio::test]
async fn a_client_kills_others_by_what_they_are() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    let Value::Integer(id) = other.call("CLIENT ID").await else {
        panic!("an id");
    };
    assert_eq!(
        peer.call(&format!("CLIENT KILL ID {id} TYPE pubsub")).await,
        Value::Integer(0)
    );
    let none = peer.error("CLIENT KILL 127.0.0.1:1").await;
    assert_eq!(none, "ERR No such client");
    assert_eq!(
        peer.call(&format!("CLIENT KILL ID {id}")).await,
        Value::Integer(1)
    );
    assert_eq!(other.receive().await, None);
    // Its own connection only if it says so, and then it is answered first.
    assert_eq!(
        peer.call("CLIENT KILL TYPE normal").await,
        Value::Integer(0)
    );
    assert_eq!(peer.call("CLIENT KILL SKIPME no").await, Value::Integer(1));
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn settings_are_shown_and_not_changed() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let pairs = peer.call("CONFIG GET MAX* save").await.into_pairs();
    let pairs = pairs.unwrap();
    assert_eq!(pairs.len(), 5, "{pairs:?}");
    assert_eq!(field(&pairs, "maxclients"), &Value::bulk("10000"));
    assert_eq!(field(&pairs, "save"), &Value::bulk(""));
    let failed = peer.error("CONFIG SET maxclients 5").await;
    assert!(failed.contains("immutable"), "{failed}");
    peer.error("CONFIG SET maxclients 5 save").await;
    let unknown = peer.error("CONFIG SET colour red").await;
    assert!(unknown.contains("'colour'"), "{unknown}");
    let Value::Array(time) = peer.call("TIME").await else {
        panic!("a time");
    };
    assert_eq!(time.len(), 2);
}

#[tokio::test]
async fn renaming_deletes_what_was_read_and_nothing_newer() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.error("RENAME a b").await, "ERR no such key");
    peer.call("MSET a 1 raced 2").await;
    assert_eq!(peer.call("RENAME a b").await, Value::ok());
    assert_eq!(peer.call("EXISTS a").await, Value::Integer(0));
    assert_eq!(peer.call("GET b").await, Value::bulk("1"));
    peer.call("SET raced old").await;
    assert_eq!(peer.call("RENAME raced c").await, Value::ok());
    assert_eq!(peer.call("GET c").await, Value::bulk("old"));
    assert_eq!(peer.call("GET raced").await, Value::bulk("newer"));
}
