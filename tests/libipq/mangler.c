/* As programs on libipq were: writes the outside address into the print servers' keep-alives, with
 * a table of one.
 *
 *   mangler 4|6 INSIDE OUTSIDE
 *
 * A keep-alive goes to UDP port 1331 and carries its sender's address from byte 4 of the payload
 * on. Any signal ends it.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static unsigned char inside[16], outside[16];
static size_t address_size;
static volatile sig_atomic_t ended;

static void end(int signal) {
  (void)signal;
  ended = 1;
}

static unsigned long add(unsigned long sum, const unsigned char* bytes, size_t size) {
  size_t i;
  for (i = 0; i < size; ++i) sum += i % 2 ? bytes[i] : (unsigned long)bytes[i] << 8;
  return sum;
}

/* The whole of it, with the pseudo-header: RFC 768, RFC 8200. */
static void write_checksum(unsigned char* ip, size_t addresses_at, unsigned char* udp,
                           size_t size) {
  unsigned long sum = 17 + size;
  udp[6] = udp[7] = 0;
  sum = add(sum, ip + addresses_at, 2 * address_size);
  sum = add(sum, udp, size);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  sum = ~sum & 0xffff;
  if (sum == 0) sum = 0xffff;
  udp[6] = (unsigned char)(sum >> 8);
  udp[7] = (unsigned char)sum;
}

/* Whether the packet was a keep-alive, and is another one now. */
static int mangle(unsigned char* ip, size_t size) {
  const size_t header = address_size == 4 ? (size_t)(ip[0] & 15) * 4 : 40;
  unsigned char* udp = ip + header;
  if (size < header + 8 + 4 + address_size || ip[address_size == 4 ? 9 : 6] != 17) return 0;
  if (udp[2] << 8 != (1331 & 0xff00) || udp[3] != (1331 & 0xff)) return 0;
  if (memcmp(udp + 12, inside, address_size) != 0) return 0;
  memcpy(udp + 12, outside, address_size);
  write_checksum(ip, address_size == 4 ? 12 : 8, udp, size - header);
  return 1;
}

static void show(const ipq_packet_msg_t* m) {
  const unsigned char* a = m->hw_addr;
  printf(
      "hook=%u in=%s out=%s mark=%lu protocol=%04x type=%u hw=%u/%02x%02x%02x%02x%02x%02x "
      "bytes=%lu time=%ld\n",
      m->hook, m->indev_name, m->outdev_name, m->mark, ntohs(m->hw_protocol), m->hw_type,
      m->hw_addrlen, a[0], a[1], a[2], a[3], a[4], a[5], (unsigned long)m->data_len,
      m->timestamp_sec);
}

static void die(struct ipq_handle* h) {
  ipq_perror("mangler");
  ipq_destroy_handle(h);
  exit(1);
}

static void run(struct ipq_handle* h) {
  static unsigned char buf[70000];
  unsigned long packets = 0, changed = 0;
  while (!ended) {
    ipq_packet_msg_t* m;
    int edited;
    const ssize_t got = ipq_read(h, buf, sizeof(buf), 200000);
    if (got < 0) die(h);
    if (got == 0) continue; /* nothing in time, or a signal */
    if (ipq_message_type(buf) == NLMSG_ERROR) fprintf(stderr, "refused: %d\n", ipq_get_msgerr(buf));
    if (ipq_message_type(buf) != IPQM_PACKET) continue;
    m = ipq_get_packet(buf);
    if (packets++ == 0) show(m);
    edited = mangle(m->payload, m->data_len);
    changed += (unsigned long)edited;
    if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, edited ? m->data_len : 0,
                        edited ? m->payload : NULL) < 0)
      die(h);
    fflush(stdout);
  }
  printf("packets=%lu changed=%lu\n", packets, changed);
}

int main(int argc, char** argv) {
  struct sigaction on_end;
  struct ipq_handle* h;
  int family;
  if (argc != 4) return 64;
  family = argv[1][0] == '6' ? PF_INET6 : PF_INET;
  address_size = family == PF_INET ? 4 : 16;
  if (inet_pton(family, argv[2], inside) != 1 || inet_pton(family, argv[3], outside) != 1)
    return 64;
  memset(&on_end, 0, sizeof(on_end));
  on_end.sa_handler = end;
  sigaction(SIGTERM, &on_end, NULL);
  h = ipq_create_handle(0, (u_int32_t)family);
  if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 65535) < 0) die(h);
  printf("ready\n");
  fflush(stdout);
  run(h);
  ipq_destroy_handle(h);
  return 0;
}
