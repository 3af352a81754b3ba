// The packet path of one queue: receive a batch, apply the program, reply with one sendmsg, tick.
// recvmmsg with MSG_WAITFORONE makes a batch exactly what is waiting: no timer, nothing held back.
// Nothing here allocates, locks or throws after construction.
//
// A packet that is to wait for its verdict (Outcome::delay) stays in the kernel's queue and in
// held_packets.h; the loop goes on, and sleeps no longer than until the next one's time. While
// packets are kept so, each verdict names its packet alone. (packet_holding.cc)
//
// In a shadow (WorkerOptions::shadow) each packet is accepted as it came, before or after the rules
// have run over what lies here. A segment that would wait is answered at once, and kept for its
// stream's edits to be found.
//
// Configuration goes out on the same socket, and its acknowledgement comes back between packets:
// those before it were queued under the old settings.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/nfqueue_codec.h"
#include "core/result.h"
#include "core/shared_memory.h"
#include "core/verdict_batch.h"
#include "workers/batch.h"
#include "workers/held_packets.h"
#include "workers/heritage.h"
#include "workers/inbox.h"
#include "workers/interfaces.h"
#include "workers/lanes.h"
#include "workers/packet_capture.h"
#include "workers/packet_log.h"
#include "workers/packet_shadow.h"
#include "workers/queue_limit.h"
#include "workers/stream_stage.h"

namespace fettle {

class PacketLoop {
 public:
  // `heritage` outlives the loop.
  static Result<std::unique_ptr<PacketLoop>> create(const Heritage& heritage);
  PacketLoop(const PacketLoop&) = delete;
  PacketLoop& operator=(const PacketLoop&) = delete;

  enum class Turn : uint8_t {
    kPackets,  // a batch was received and answered
    kIdle,     // nothing was waiting, the wait timed out or a signal came
    kBroken,   // the socket fails, or takes no reply: errno in broken_errno()
  };
  // Before the first turn, once a predecessor is gone: takes the queue's memory over. False: what
  // should be a table of TCP streams is none.
  bool begin(const Heritage& heritage);
  // Instead of it where the predecessor died. Answers what it had read and not answered
  // (packet_recovery.cc).
  bool recover(const Heritage& heritage);
  // Packets with an id at or below `id` that nobody knows of leave with this verdict (NF_*), as
  // soon as it can reach no other.
  void release_orphans(uint32_t id, uint32_t verdict);
  // One batch. wait: blocks until there is something (SO_RCVTIMEO bounds it).
  Turn turn(bool wait);
  // A datagram that was received elsewhere, of at most Inbox::kLongest bytes; answered at once.
  Turn take(std::span<const std::byte> datagram);
  // Answers what lanes have still in hand, and what waits, before its time; before the loop is left
  // alone.
  void finish();

  // Sends new settings for the queue; returns the number that their acknowledgement will bear.
  // The loop itself goes on to change the queue's length in an overload, and sends them anew,
  // relax()ed, where the kernel refuses them so.
  Result<uint32_t> configure(const QueueSettings& settings);
  // The newest of such messages has been answered.
  bool settled() const { return acknowledged_ == sequence_; }
  // The newest acknowledgement of a configuration message that was seen in the stream.
  uint32_t acknowledged() const { return acknowledged_; }
  int acknowledged_error() const { return acknowledged_error_; }
  // From now on the queue's length is what configure() says.
  void keep_length() { steers_ = false; }
  // The settings that the loop has put in force, the queue's length included.
  const QueueSettings& settings() const { return settings_; }
  int broken_errno() const { return broken_errno_; }
  const VerdictBatch& replies() const { return replies_; }

 private:
  PacketLoop(const Heritage& heritage, std::vector<SharedMemory> own, std::span<std::byte> slots,
             std::span<std::byte> held);
  void make_states(const Heritage& heritage);
  PacketShadow* shadow() { return shadows_.empty() ? nullptr : &shadows_.front(); }
  int receive(bool wait);
  Turn nothing_received();
  void handle_datagram(std::span<std::byte> datagram);
  void take_packet(const QueuedPacket& queued, bool last);
  void name_interfaces(InHand& hand);
  void handle_answer(const Message& message);
  void settle();
  void settle_here();
  void finish_lanes();
  void tell_time();
  void answer_all(Inbox& inbox);
  void answer(const InHand& hand);
  void note_edit(const InHand& hand);
  int receive_until_due();
  void hold_or_answer(std::span<InHand* const> hands);
  bool hold(InHand& hand, uint64_t now);
  void release_after(size_t received);
  bool release(uint64_t until);
  void recycle_held();
  void gather(Inbox& inbox, std::vector<InHand*>& left);
  void read_again(Inbox& inbox, size_t datagram);
  void resume(InHand& hand, bool same_program);
  void give_up(InHand& hand);
  void take_segment(InHand& hand, uint64_t now);
  void keep_back(InHand& hand, uint64_t now);
  void end_wait_at_once(InHand& hand, uint64_t now);
  void let_go(InHand& hand, uint64_t now);
  void offer_again(uint64_t tag, uint64_t now);
  void end_wait(HeldPacket& held, uint64_t now);
  bool is_behind(uint64_t now) const;
  void reply();
  void send_replies();
  void steer(size_t received);
  uint64_t waiting() const;
  void flush_logs();
  void flush_captures();
  void tick();

  int fd_;
  int status_fd_;
  const Program* program_;
  WorkerPage* page_;
  LoopCounters* counters_;
  Preparation preparation_;
  bool names_, resizes_, bypass_;
  Verdict on_crash_;
  size_t reply_limit_;
  QueueSettings settings_;
  uint32_t overload_length_;
  bool steers_ = true;
  QueueLimit limit_;
  uint32_t sequence_;  // of the last configuration message
  uint32_t acknowledged_ = 0;
  int acknowledged_error_ = 0;
  int broken_errno_ = 0;
  std::vector<SharedMemory> own_;  // where nobody gave any
  std::vector<Inbox> inboxes_;     // two with lanes
  Inbox* filling_;
  Inbox* running_ = nullptr;  // the one whose packets the lanes have
  VerdictBatch replies_;
  std::optional<HeldPackets> held_;  // where the program holds packets
  std::optional<uint32_t> orphans_;  // release_orphans(), put off
  uint32_t orphans_verdict_ = 0;
  uint64_t behind_since_ = 0;           // each batch since then was full; 0: the last was not
  std::optional<StreamStage> streams_;  // where it edits TCP streams (packet_streams.cc)
  Interfaces interfaces_;
  std::vector<PacketLog> logs_;          // one a thread, as the states
  std::vector<PacketCapture> captures_;  // the same, or none
  std::vector<PacketShadow> shadows_;    // the same, in a shadow
  std::vector<ProgramState> states_;
  std::vector<std::atomic<uint64_t>> clocks_;
  std::unique_ptr<Lanes> lanes_;  // with more threads than one
};

}  // namespace fettle
