/* What libipq does at its edges, tried on real packets: what the manual pages promise, and misuse.
 *
 *   behaviour 4|6    the firewall queues UDP to port 5000 of the loopback device to queue 3
 *
 * Prints a line for each check. Built with the library's sources and sanitizers.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { kRoom = 70000 };

static unsigned char buf[kRoom];
static int failures, family, port;
static struct sockaddr_storage self;
static socklen_t self_size;

static void check(const char* what, int holds) {
  printf("  %s  IPv%d: %s\n", holds ? "ok   " : "FAIL ", family == PF_INET ? 4 : 6, what);
  if (!holds) {
    printf("        errno %d (%s), \"%s\"\n", errno, strerror(errno), ipq_errstr());
    ++failures;
  }
}

/* That a call has failed, and how. */
static void check_failure(const char* what, long result, const char* text, int number) {
  check(what, result == -1 && errno == number && strcmp(ipq_errstr(), text) == 0);
}

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_alarm(int signal) { (void)signal; }

static void alarm_in(int ms) {
  struct sigaction action;
  struct itimerval timer;
  memset(&action, 0, sizeof(action));
  memset(&timer, 0, sizeof(timer));
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, NULL);
  timer.it_value.tv_usec = ms * 1000;
  setitimer(ITIMER_REAL, &timer, NULL);
}

/* Sends itself a datagram of `size` bytes, all of them `fill`. */
static void send_one(int fill, size_t size) {
  static unsigned char data[kRoom];
  memset(data, fill, size);
  if (sendto(port, data, size, 0, (struct sockaddr*)&self, self_size) < 0) perror("sendto");
}

/* The length of what has come to itself within 200 ms, or -1; it is in `buf`. */
static long receive_one(void) {
  const struct timeval wait = {0, 200000};
  setsockopt(port, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  return recv(port, buf, sizeof(buf), 0);
}

static void open_port(void) {
  struct sockaddr_in* v4 = (struct sockaddr_in*)&self;
  struct sockaddr_in6* v6 = (struct sockaddr_in6*)&self;
  if (family == PF_INET) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(5000);
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self_size = sizeof(*v4);
  } else {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(5000);
    v6->sin6_addr = in6addr_loopback;
    self_size = sizeof(*v6);
  }
  port = socket(family, SOCK_DGRAM, 0);
  if (port < 0 || bind(port, (struct sockaddr*)&self, self_size) != 0) {
    perror("port 5000");
    exit(70);
  }
}

static void without_a_handle(void) {
  check_failure("no handle: read", ipq_read(NULL, buf, kRoom, 0), "Unable to create netlink handle",
                EBADF);
  check_failure("no handle: mode", ipq_set_mode(NULL, IPQ_COPY_META, 0),
                "Unable to create netlink handle", EBADF);
  check_failure("no handle: verdict", ipq_set_verdict(NULL, 1, NF_DROP, 0, NULL),
                "Unable to create netlink handle", EBADF);
  check("no handle: destroyed all the same", ipq_destroy_handle(NULL) == 0);
  check("no message: no type, no packet, no error",
        ipq_message_type(NULL) == 0 && ipq_get_packet(NULL) == NULL && ipq_get_msgerr(NULL) == 0);
  check_failure("a family that there is not", ipq_create_handle(0, 42) ? 0 : -1,
                "Invalid protocol specified", EPROTONOSUPPORT);
  setenv("LIBIPQ_QUEUE", "70000", 1);
  check_failure("a queue that there is not", ipq_create_handle(0, (u_int32_t)family) ? 0 : -1,
                "Unable to create netlink handle", EINVAL);
  setenv("LIBIPQ_QUEUE", "3", 1);
  setenv("LIBIPQ_FAIL_OPEN", "-1", 1);
  check_failure("fail-open neither 0 nor 1", ipq_create_handle(0, (u_int32_t)family) ? 0 : -1,
                "Unable to create netlink handle", EINVAL);
  unsetenv("LIBIPQ_FAIL_OPEN");
}

static void before_a_mode(struct ipq_handle* h) {
  check_failure("before a mode: read", ipq_read(h, buf, kRoom, 0), "Operation not supported",
                ENOTCONN);
  check_failure("before a mode: verdict", ipq_set_verdict(h, 1, NF_ACCEPT, 0, NULL),
                "Operation not supported", ENOTCONN);
  check_failure("a mode that there is not", ipq_set_mode(h, IPQ_COPY_MAX + 1, 0),
                "Operation not supported", EINVAL);
}

static void a_queue_that_is_taken(struct ipq_handle* h) {
  struct ipq_handle* other = ipq_create_handle(0, (u_int32_t)family);
  check("a mode is set", ipq_set_mode(h, IPQ_COPY_PACKET, 1000000) > 0);
  check("a second handle", other != NULL);
  check_failure("another's queue", ipq_set_mode(other, IPQ_COPY_META, 0),
                "Received error from netlink", EBUSY);
  check("is destroyed", ipq_destroy_handle(other) == 0);
}

static void waiting(struct ipq_handle* h) {
  long began = milliseconds(), took;
  errno = EINTR;
  check("a time that passes: 0, and no EINTR", ipq_read(h, buf, kRoom, 50000) == 0 && errno == 0);
  took = milliseconds() - began;
  check("it has passed", took >= 50 && took < 1000);
  began = milliseconds();
  check("a negative time: 0", ipq_read(h, buf, kRoom, -1) == 0);
  check("at once", milliseconds() - began < 500);
  alarm_in(50);
  check("a signal within the time: 0 and EINTR",
        ipq_read(h, buf, kRoom, 5000000) == 0 && errno == EINTR);
  check("it did not wait longer", milliseconds() - began < 2000);
  alarm_in(50);
  check_failure("a signal without a time", ipq_read(h, buf, kRoom, 0),
                "Failed to receive netlink message", EINTR);
}

static void verdicts_that_cannot_be(struct ipq_handle* h) {
  static unsigned char data[kRoom];
  check("of an unknown packet: sent", ipq_set_verdict(h, 12345, NF_ACCEPT, 0, NULL) > 0);
  check("and refused by the kernel: read", ipq_read(h, buf, kRoom, 1000000) > 0);
  check("as an error, ENOENT",
        ipq_message_type(buf) == NLMSG_ERROR && ipq_get_msgerr(buf) == ENOENT);
  check("which is no packet", ipq_get_packet(buf) == NULL);
  check_failure("NF_STOLEN", ipq_set_verdict(h, 1, NF_STOLEN, 0, NULL), "Operation not supported",
                EINVAL);
  check_failure("one that there is not", ipq_set_verdict(h, 1, 77, 0, NULL),
                "Operation not supported", EINVAL);
  check_failure("more bytes than a packet", ipq_set_verdict(h, 1, NF_ACCEPT, 65532, data),
                "Failed to send netlink message", EMSGSIZE);
  check_failure("bytes from nowhere", ipq_set_verdict(h, 1, NF_ACCEPT, 100, NULL),
                "Failed to send netlink message", EFAULT);
  check_failure("an id beyond the kernel's", ipq_set_verdict(h, 1UL << 40, NF_ACCEPT, 0, NULL),
                "Failed to send netlink message", ENOENT);
  check_failure("a buffer for no message", ipq_read(h, buf, 8, -1), "Receive buffer size invalid",
                EINVAL);
  check_failure("no buffer", ipq_read(h, NULL, kRoom, -1), "Receive buffer size invalid", EINVAL);
}

/* The next packet, of which nothing has been said yet. */
static ipq_packet_msg_t* next_packet(struct ipq_handle* h) {
  const ssize_t got = ipq_read(h, buf, kRoom, 1000000);
  if (got <= 0 || ipq_message_type(buf) != IPQM_PACKET) return NULL;
  return ipq_get_packet(buf);
}

static void accept_packet(struct ipq_handle* h, ipq_packet_msg_t* m) {
  check("is accepted", m && ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) > 0);
}

static void copied_bytes(struct ipq_handle* h) {
  const size_t headers = family == PF_INET ? 28 : 48;
  ipq_packet_msg_t* m;
  send_one('a', 1000);
  m = next_packet(h);
  check("all of a packet", m && m->data_len == headers + 1000 && m->payload[headers + 999] == 'a');
  check("its hook and device",
        m && m->hook == NF_INET_LOCAL_OUT && !m->indev_name[0] && !strcmp(m->outdev_name, "lo"));
  check("its time", m && labs(m->timestamp_sec - time(NULL)) <= 2 && m->timestamp_usec < 1000000);
  accept_packet(h, m);
  check("arrives", receive_one() == 1000);
  check("copy but 100 bytes", ipq_set_mode(h, IPQ_COPY_PACKET, 100) > 0);
  send_one('b', 1000);
  m = next_packet(h);
  check("100 bytes", m && m->data_len == 100);
  accept_packet(h, m);
  check("arrives whole", receive_one() == 1000);
  check("copy none", ipq_set_mode(h, IPQ_COPY_META, 100) > 0);
  send_one('c', 1000);
  m = next_packet(h);
  check("no bytes", m && m->data_len == 0 && m->packet_id != 0);
  accept_packet(h, m);
  check("arrives whole, too", receive_one() == 1000);
  check("copy all again", ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
}

/* How many packets the kernel has in the queue. */
static int waiting_packets(void) {
  FILE* table = fopen("/proc/self/net/netfilter/nfnetlink_queue", "r");
  char line[200];
  int queue, waiting, found = -1;
  while (table && fgets(line, sizeof(line), table)) {
    if (sscanf(line, "%d %*d %d", &queue, &waiting) == 2 && queue == 3) found = waiting;
  }
  if (table) fclose(table);
  return found;
}

static void buffers_too_short(struct ipq_handle* h) {
  ipq_packet_msg_t* m;
  send_one('d', 3000);
  check_failure("longer than the buffer", ipq_read(h, buf, 2048, 1000000),
                "Received message truncated", EMSGSIZE);
  check("is dropped, and waits no more", receive_one() == -1 && waiting_packets() == 0);
  send_one('e', 60000);
  m = next_packet(h);
  check("60,000 bytes and a buffer for them", m && m->data_len > 60000);
  check("are dropped as told",
        m && ipq_set_verdict(h, m->packet_id, NF_DROP, 0, NULL) > 0 && receive_one() == -1);
  send_one('f', 500);
  m = next_packet(h);
  check("bytes that are no IP packet",
        m && ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 10, m->payload) > 0);
  check("change nothing", receive_one() == 500 && buf[499] == 'f');
}

static void again(struct ipq_handle* h) {
  ipq_packet_msg_t* m;
  unsigned long before;
  send_one('g', 10);
  m = next_packet(h);
  before = m ? m->packet_id : 0;
  check("back to the queue", m && ipq_set_verdict(h, m->packet_id, NF_QUEUE, 0, NULL) > 0);
  m = next_packet(h);
  check("comes again, as another", m && m->packet_id != before);
  accept_packet(h, m);
  check("arrives", receive_one() == 10);
}

/* Settings change while packets wait: none is lost, and they stay in order. */
static void modes_amid_packets(struct ipq_handle* h) {
  int sent, seen = 0, arrived = 0, in_order = 1;
  for (sent = 0; sent < 100; ++sent) send_one(sent, 20);
  for (sent = 0; sent < 5; ++sent)
    check("a mode amid packets", ipq_set_mode(h, IPQ_COPY_PACKET, 65535) > 0);
  while (seen < 100) {
    ipq_packet_msg_t* m = next_packet(h);
    if (!m || ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0) break;
    in_order &= m->payload[m->data_len - 1] == seen++;
  }
  while (receive_one() == 20) ++arrived;
  check("all are read, in order", seen == 100 && in_order);
  check("all arrive", arrived == 100);
}

/* As a program of 2001, which ends at the first error of ipq_read. */
static void overflow(struct ipq_handle* h) {
  int small = 1, quiet = 0, i, seen = 0, arrived = 0;
  ssize_t got;
  socklen_t size = sizeof(quiet);
  check("the kernel is to lose packets quietly",
        getsockopt(h->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &quiet, &size) == 0 && quiet == 1);
  setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  for (i = 0; i < 200; ++i) send_one(i, 100);
  while ((got = ipq_read(h, buf, kRoom, 100000)) > 0) {
    ipq_packet_msg_t* m = ipq_get_packet(buf);
    if (!m || ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0) break;
    ++seen;
  }
  check("a buffer that is full is no error", got == 0);
  while (receive_one() == 100) ++arrived;
  check("some are lost, those that were read are not", seen > 0 && seen < 200 && arrived == seen);
  send_one('h', 30);
  accept_packet(h, next_packet(h));
  check("it goes on", receive_one() == 30);
}

int main(int argc, char** argv) {
  struct ipq_handle* h;
  if (argc != 2) return 64;
  family = argv[1][0] == '6' ? PF_INET6 : PF_INET;
  errno = 0;
  check("no error yet", strcmp(ipq_errstr(), "Unknown error") == 0);
  open_port();
  without_a_handle();
  h = ipq_create_handle(0, (u_int32_t)family);
  check("a handle", h != NULL);
  if (!h) return 1;
  before_a_mode(h);
  a_queue_that_is_taken(h);
  waiting(h);
  verdicts_that_cannot_be(h);
  copied_bytes(h);
  buffers_too_short(h);
  again(h);
  modes_amid_packets(h);
  overflow(h);
  check("is destroyed", ipq_destroy_handle(h) == 0);
  close(port);
  printf("%d failures\n", failures);
  return failures ? 1 : 0;
}
