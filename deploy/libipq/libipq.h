/* libipq: packets that a Linux firewall queues, read and judged by a program. The interface of the
 * library of that name which spoke to the kernel's ip_queue (gone since Linux 3.5), on NFQUEUE. See
 * README.md.
 */
#ifndef LIBIPQ_H
#define LIBIPQ_H

/* As the original's header did, and stdlib.h for exit(), which its manual page's example calls
 * without it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What <linux/netfilter_ipv4/ip_queue.h> had, where that is still to be found. */
#ifndef _IP_QUEUE_H
#define _IP_QUEUE_H

typedef struct ipq_packet_msg {
  unsigned long packet_id; /* for ipq_set_verdict */
  unsigned long mark;
  long timestamp_sec; /* when it arrived; one of this host's own, when it was read */
  long timestamp_usec;
  unsigned int hook;             /* NF_INET_PRE_ROUTING ... NF_INET_POST_ROUTING */
  char indev_name[IF_NAMESIZE];  /* empty where there is none */
  char outdev_name[IF_NAMESIZE]; /* likewise */
  unsigned short hw_protocol;    /* network order */
  unsigned short hw_type;        /* ARPHRD_..., of the device that it came in by */
  unsigned char hw_addrlen;
  unsigned char hw_addr[8];
  size_t data_len;                        /* 0 with IPQ_COPY_META */
  __extension__ unsigned char payload[0]; /* the packet from its IP header on */
} ipq_packet_msg_t;

enum { IPQ_COPY_NONE, IPQ_COPY_META, IPQ_COPY_PACKET };
#define IPQ_COPY_MAX IPQ_COPY_PACKET

#define IPQM_BASE 0x10
#define IPQM_MODE (IPQM_BASE + 1)
#define IPQM_VERDICT (IPQM_BASE + 2)
#define IPQM_PACKET (IPQM_BASE + 3)
#define IPQM_MAX (IPQM_BASE + 4)

#endif /* _IP_QUEUE_H */

typedef unsigned long ipq_id_t;

/* The rest of it is the library's own. */
struct ipq_handle {
  int fd; /* for select() and poll() */
};

struct ipq_handle* ipq_create_handle(u_int32_t flags, u_int32_t protocol);
int ipq_destroy_handle(struct ipq_handle* h);
ssize_t ipq_read(const struct ipq_handle* h, unsigned char* buf, size_t len, int timeout);
int ipq_set_mode(const struct ipq_handle* h, u_int8_t mode, size_t len);
ipq_packet_msg_t* ipq_get_packet(const unsigned char* buf);
int ipq_message_type(const unsigned char* buf);
int ipq_get_msgerr(const unsigned char* buf);
int ipq_set_verdict(const struct ipq_handle* h, ipq_id_t id, unsigned int verdict, size_t data_len,
                    unsigned char* buf);
char* ipq_errstr(void);
void ipq_perror(const char* s);

#ifdef __cplusplus
}
#endif

#endif /* LIBIPQ_H */
