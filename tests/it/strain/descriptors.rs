//! The program with few file descriptors.

use tokio::time::{Duration, sleep};

use super::{STREAM, ask, chunk, follower::Follower, in_time, read_until};
use crate::{
    reload::binary::Running,
    support::{Origin, Wire, until},
};

const DESCRIPTORS: u32 = 64;
const PAGE: &str = "GET /page HTTP/1.1\r\nHost: h\r\n\r\n";

async fn server() -> Origin {
    Origin::start(move |mut visit| async move {
        while visit.request().await && visit.head_of_request().starts_with("GET /page ") {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage").await;
        }
        let mut alive = visit.try_send(STREAM).await.is_ok();
        for number in 0.. {
            alive = alive && visit.try_send(chunk(&format!("data: 0:{number}\n\n"))).await.is_ok();
            if !alive {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_descriptors_run_out_clients_wait_and_all_else_goes_on() {
    in_time(async {
        let running = Running::limited(server().await, "descriptors", "", DESCRIPTORS).await;
        let address = running.binary.address;
        let shortages = "respool_descriptor_shortages_total ";
        assert_eq!(running.metric(shortages).await, 0);
        // As many as may be while there is enough: each takes one more for the upstream.
        let followers = (0..8).map(|_| {
            tokio::spawn(async move {
                let mut follower = Follower::of("/stream");
                follower.follow(address, 300).await;
                follower.events
            })
        });
        let followers: Vec<_> = followers.collect();
        while running.metric("respool_clients{route=\"default\"}").await < 8 {
            sleep(Duration::from_millis(5)).await;
        }
        // Clients that ask for nothing yet take all that there is for clients.
        let mut idle = Vec::new();
        for _ in 0..DESCRIPTORS {
            idle.push(Wire::to(address).await);
        }
        until(|| running.binary.log().contains("clients wait: there are too few file descriptors")).await;
        // Who is there is served, with what was kept for that, and the admin still answers.
        assert_eq!(idle[0].ask(PAGE).await.text(), "page");
        while running.metric(shortages).await < 3 {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(running.metric("process_open_fds ").await < u64::from(DESCRIPTORS));
        // When the upstream takes that, too, it is said whose fault that is; and streams wait.
        for client in &mut idle[1..12] {
            client.send("GET /stream HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").await;
        }
        let mut answer = idle[12].ask(PAGE).await;
        while answer.status() == 200 {
            // By a connection that was there already, which is a stream's soon.
            sleep(Duration::from_millis(20)).await;
            answer = idle[12].ask(PAGE).await;
        }
        assert_eq!(answer.status(), 502);
        assert_eq!(
            answer.text(),
            "respool: there is no file descriptor left for a connection to the upstream\n"
        );
        until(|| running.binary.log().contains("the upstream was not asked: there are too few file")).await;
        let mut waiting = ask(address, "/stream", "").await;
        // Nobody was harmed, and those who waited have their turn.
        idle.clear();
        for follower in followers {
            assert_eq!(follower.await.unwrap(), 300);
        }
        read_until(&mut waiting, "data: 0:3").await;
        assert_eq!(running.binary.connect().await.ask(PAGE).await.text(), "page");
        assert!(!running.binary.log().contains("panicked"));
    })
    .await;
}
