// What the firewall's rules sent to a range of queues, by the rules' own counters, beside what the
// queues took in, by the ids that they gave out. The difference is what the kernel counts nowhere:
// packets that found a full queue with fail-open, or no queue at all with bypass
// (net/netfilter/nfnetlink_queue.c, net/netfilter/nf_queue.c). Pure.
//
// A rule counts a packet before a queue has it, and what rules counted is read before the ids: so
// what came in between counts as taken and not yet as sent, and no more is found to be missing than
// is. The next look finds the rest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/nfqueue.h"
#include "workers/firewall.h"

namespace fettle {

struct Feed {
  std::map<std::string, uint64_t> rules;  // packets of those that feed the range and nothing else
  uint32_t uncounted = 0;                 // rules without a counter
  uint32_t beyond = 0;                    // rules that feed other queues, too
  bool bypass = true;                     // all rules have it
};
Feed feed_of(const Firewall& firewall, uint16_t first_queue, uint16_t last_queue);

// Packets that one queue took in: those with an id, and those that it was too full for and dropped.
// The kernel's numbers wrap at 2^32; a look a second is enough for any rate.
class QueueIntake {
 public:
  // From 0, as a queue begins that was bound just now; or from where it stood at an earlier look.
  QueueIntake() = default;
  QueueIntake(uint32_t id, uint32_t dropped) : id_(id), dropped_(dropped) {}
  // What came since the look before.
  uint64_t look(const QueueStatus& row);
  uint32_t id() const { return id_; }
  uint32_t dropped() const { return dropped_; }

 private:
  uint32_t id_ = 0;
  uint32_t dropped_ = 0;
};

// Packets that were found to be missing since the look before.
struct FeedFound {
  uint64_t unqueued = 0;
  uint64_t bypassed = 0;
};

class FeedAccount {
 public:
  struct Figures {
    uint64_t sent = 0;      // by rules, since the account began
    uint64_t unqueued = 0;  // at least so many came to no queue
    uint64_t bypassed = 0;  // at least so many came while none was bound
    int64_t balance = 0;    // sent - taken, of what is not told of yet
  };

  FeedAccount() = default;
  // Goes on from what an earlier one knew: the queues ran all the time (`bound`), or they were
  // closed when it looked last, and are open since.
  FeedAccount(std::map<std::string, uint64_t> rules, Figures figures, bool bound);
  // What rules sent until now, and what queues took since the look before; `late` of these while
  // the rules were being read, or after that. The first look of an account that knows nothing only
  // begins it.
  FeedFound look(Feed feed, uint64_t taken, uint64_t late);

  const Feed& last() const { return last_; }
  const Figures& figures() const { return figures_; }

 private:
  Feed last_;
  Figures figures_;
  bool begun_ = false;
  bool bound_ = true;
};

// An account as a file keeps it for the next run, with where each queue stood.
struct FeedRecord {
  std::string queues;  // the range: "0:3"
  bool ended = false;  // the queues were closed, and then the rules were read
  FeedAccount::Figures figures;
  std::map<std::string, uint64_t> rules;
  std::map<uint16_t, QueueIntake> intake;
};
std::string to_json(const FeedRecord& record);
std::optional<FeedRecord> parse_feed_record(std::string_view json);

}  // namespace fettle
