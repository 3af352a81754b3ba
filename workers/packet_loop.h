// The packet path of one queue: receive a batch, apply the program, reply with one sendmsg, tick.
// recvmmsg with MSG_WAITFORONE makes a batch exactly what is waiting: no timer, nothing held back.
// Nothing here allocates, locks or throws after construction.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/nfqueue_codec.h"
#include "core/result.h"
#include "core/shared_memory.h"
#include "core/verdict_batch.h"
#include "workers/heritage.h"
#include "workers/interfaces.h"
#include "workers/packet_log.h"

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
  // One batch. wait: blocks until there is something (SO_RCVTIMEO bounds it).
  Turn turn(bool wait);
  // A datagram that was received elsewhere, answered at once.
  Turn take(std::span<std::byte> datagram);

  // The newest acknowledgement of a configuration message that was seen in the stream.
  uint32_t acknowledged() const { return acknowledged_; }
  int acknowledged_error() const { return acknowledged_error_; }
  int broken_errno() const { return broken_errno_; }
  const VerdictBatch& replies() const { return replies_; }

 private:
  PacketLoop(const Heritage& heritage, SharedMemory slots);
  int receive(bool wait);
  void handle_datagram(std::span<std::byte> datagram);
  void handle_packet(const QueuedPacket& queued);
  void handle_answer(const Message& message);
  void reply();
  void tick();

  int fd_;
  const Program* program_;
  LoopCounters* counters_;
  bool parses_, plans_, names_, bypass_;
  size_t reply_limit_;
  uint32_t acknowledged_ = 0;
  int acknowledged_error_ = 0;
  int broken_errno_ = 0;
  SharedMemory slots_;
  std::vector<iovec> slot_vectors_;
  std::vector<mmsghdr> headers_;
  VerdictBatch replies_;
  Interfaces interfaces_;
  PacketLog log_;
  ProgramState state_;
};

}  // namespace fettle
