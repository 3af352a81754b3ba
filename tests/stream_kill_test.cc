// A writer killed at any store: a child runs process() on the shared table and is killed before a
// random one of its stores there; the parent goes on as its successor.
#if defined(__x86_64__)
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>

#include "core/shared_memory.h"
#include "tests/stream_simulator.h"

namespace fettle::testing {
namespace {

// In the child: the table's memory is read-only, each store faults, is let through alone by the
// processor's trap flag, and counted; instead of one of them the child is killed.
std::span<std::byte> guarded;
uint32_t stores_left;

void protect(int protection) { mprotect(guarded.data(), guarded.size(), protection); }

void on_store(int, siginfo_t*, void* context) {
  if (stores_left-- == 0) kill(getpid(), SIGKILL);
  protect(PROT_READ | PROT_WRITE);
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] |= 0x100;
}
void behind_store(int, siginfo_t*, void* context) {
  protect(PROT_READ);
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

// True: the work ended before so many stores.
bool run_and_kill(uint32_t stores, const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    stores_left = stores;
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = on_store;
    sigaction(SIGSEGV, &action, nullptr);
    action.sa_sigaction = behind_store;
    sigaction(SIGTRAP, &action, nullptr);
    protect(PROT_READ);
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGKILL) << status;
  return WIFEXITED(status);
}

// Every connection is as in one of two memories, but for when it was last seen, or on the way
// between them: taken out, or entered and nothing more.
bool one_or_the_other(std::span<const std::byte> memory, std::span<const std::byte> one,
                      std::span<const std::byte> other, uint32_t connections) {
  const size_t first = (sizeof(stream::Header) + 63) & ~size_t{63};
  const auto image = [&](std::span<const std::byte> from, uint32_t i) {
    Bytes bytes(sizeof(stream::Connection));
    std::copy_n(from.data() + first + i * bytes.size(), bytes.size(), bytes.begin());
    std::fill_n(bytes.begin() + offsetof(stream::Connection, seen), 4, std::byte{0});
    return bytes;
  };
  for (uint32_t i = 0; i < connections; ++i) {
    const Bytes found = image(memory, i);
    const auto state =
        stream::State{std::to_integer<uint8_t>(found[offsetof(stream::Connection, state)])};
    const bool heard = found[offsetof(stream::Connection, heard)] != std::byte{0};
    if (state == stream::State::kFree || !heard) continue;
    if (found != image(one, i) && found != image(other, i)) return false;
  }
  return true;
}

TEST(StreamKill, ASuccessorGoesOnWhereverTheWriterWasKilled) {
  const StreamTable::Size size{.connections = 8, .edits = 128, .chunks = 256, .handshakes = 8};
  auto memory = SharedMemory::create(StreamTable::bytes(size));
  ASSERT_TRUE(memory);
  const std::span<std::byte> shared(memory->data(), memory->size());
  StreamTable::format(shared, size, {3, 4});
  StreamTable table;
  ASSERT_TRUE(table.attach(shared));
  guarded = shared;
  const char* given = std::getenv("FETTLE_STREAM_SEED");  // to repeat a run
  const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("seed %lu\n", seed);
  std::mt19937_64 random(seed);
  uint32_t kills = 0, finished_before = 0;
  uint64_t timeouts = 0;
  SimulationOptions options{.number = 1};
  options.timeouts_elsewhere = [&] { return timeouts; };
  options.process = [&](Packet& packet, uint32_t now, PatternEditor& editor, StreamOutput& output) {
    if (random() % 3 == 0) {
      const auto spare = std::make_unique<std::byte[]>(packet.size);
      const auto work = [&](StreamTable& on) {
        std::copy_n(packet.data, packet.size, spare.get());
        Packet copy = parse({spare.get(), packet.size});
        on.process(copy, now, editor, output);
      };
      // What the child is going to find is logged here, for its log dies with it.
      EXPECT_TRUE(table.attach(shared));  // orders what is free, the same in both
      const Bytes old(shared.begin(), shared.end());
      SharedMemory aside = *SharedMemory::create(shared.size());
      std::copy(shared.begin(), shared.end(), aside.data());
      StreamTable rehearsal;
      EXPECT_TRUE(rehearsal.attach({aside.data(), aside.size()}));
      work(rehearsal);
      // The child's count dies with it, and what it decides is decided.
      timeouts += rehearsal.counters().timeouts;
      const auto stores = static_cast<uint32_t>(random() % (random() % 4 == 0 ? 60 : 24));
      const bool finished = run_and_kill(stores, [&] { work(table); });
      ++(finished ? finished_before : kills);
      EXPECT_TRUE(table.attach(shared));
      EXPECT_TRUE(one_or_the_other(shared, old, {aside.data(), aside.size()}, size.connections));
    }
    return table.process(packet, now, editor, output);
  };
  for (uint64_t i = 0; i < 20; ++i) {
    options.number = static_cast<uint32_t>(i + 1);
    const SimulationResult result = simulate(table, seed + i, options);
    ASSERT_TRUE(result.ok) << "seed " << seed + i << ": " << result.fault;
  }
  std::printf("%u kills, %u not reached\n", kills, finished_before);
  EXPECT_GT(kills, 100u);
  EXPECT_GT(finished_before, 100u);
  // Nothing leaks: what is free and what connections refer to are all there is.
  const uint32_t edits = table.free_edits(), chunks = table.free_chunks();
  ASSERT_TRUE(table.attach(shared));
  EXPECT_EQ(table.free_edits(), edits);
  EXPECT_EQ(table.free_chunks(), chunks);
}

}  // namespace
}  // namespace fettle::testing
#endif
