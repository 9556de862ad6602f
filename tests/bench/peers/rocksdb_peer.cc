// RocksDB as its C++ users run it: default options, LZ4 with zstd on the bottom level, a bloom filter,
// every batch written with sync. Arguments: work, records file, directory, batch rows, writers,
// seconds, point reads. Prints one JSON object a figure.

#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

constexpr size_t kKeyBytes = 21, kValueBytes = 82, kRecordBytes = kKeyBytes + kValueBytes;
constexpr size_t kHotKeys = 1000;

static double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

static double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void Emit(const std::string& metric, double value) {
  std::printf("{\"metric\":\"%s\",\"value\":%.6f}\n", metric.c_str(), value);
}

static void Check(const rocksdb::Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "RocksDB: %s\n", status.ToString().c_str());
    std::exit(1);
  }
}

static double Percentile(std::vector<double>& times, double share) {
  if (times.empty()) return 0;
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>((times.size() - 1) * share)];
}

struct Records {
  std::vector<char> bytes;
  size_t size() const { return bytes.size() / kRecordBytes; }
  rocksdb::Slice key(size_t row) const { return {bytes.data() + row * kRecordBytes, kKeyBytes}; }
  rocksdb::Slice value(size_t row) const {
    return {bytes.data() + row * kRecordBytes + kKeyBytes, kValueBytes};
  }
};

// The sum of the ten fields, decoded as a reader would.
static double Sum(const rocksdb::Slice& value) {
  double sum = 0;
  for (int field = 0; field < 10; field++) {
    const char* at = value.data() + 2 + 8 * field;
    if (field < 8) {
      double number;
      std::memcpy(&number, at, 8);
      sum += number;
    } else {
      int64_t number;
      std::memcpy(&number, at, 8);
      sum += static_cast<double>(number);
    }
  }
  return sum;
}

static void Write(rocksdb::DB* db, const Records& records, size_t from, size_t to) {
  rocksdb::WriteBatch batch;
  for (size_t row = from; row < to; row++) Check(batch.Put(records.key(row), records.value(row)));
  rocksdb::WriteOptions options;
  options.sync = true;
  Check(db->Write(options, &batch));
}

// Flushes, and waits for what that makes the background do.
static void Rest(rocksdb::DB* db) {
  Check(db->Flush(rocksdb::FlushOptions()));
  uint64_t running = 1, pending = 1, flushing = 1;
  while (running + pending + flushing > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    db->GetIntProperty("rocksdb.num-running-compactions", &running);
    db->GetIntProperty("rocksdb.compaction-pending", &pending);
    db->GetIntProperty("rocksdb.num-running-flushes", &flushing);
  }
}

static void EmitTimes(const std::string& name, std::vector<double>& times, const char* unit) {
  Emit(name + "p50_" + unit, Percentile(times, 0.5));
  Emit(name + "p99_" + unit, Percentile(times, 0.99));
}

static void Ingest(rocksdb::DB* db, const Records& records, size_t batch, double seconds) {
  std::vector<double> times;
  size_t rows = 0;
  double cpu = CpuSeconds();
  auto begun = Clock::now();
  while (rows < records.size() && Seconds(begun) < seconds) {
    size_t end = std::min(rows + batch, records.size());
    auto started = Clock::now();
    Write(db, records, rows, end);
    times.push_back(Seconds(started) * 1e3);
    rows = end;
  }
  double acknowledged = Seconds(begun);
  Rest(db);
  double settled = Seconds(begun);
  Emit("rows", rows);
  Emit("rows_s", rows / acknowledged);
  Emit("settled_rows_s", rows / settled);
  Emit("rows_cpu_s", rows / (CpuSeconds() - cpu));
  EmitTimes("", times, "ms");
}

static void Single(rocksdb::DB* db, const Records& records, size_t writers, double seconds) {
  std::atomic<size_t> next{0};
  std::vector<std::vector<double>> times(writers);
  std::vector<std::thread> threads;
  double cpu = CpuSeconds();
  auto begun = Clock::now();
  for (size_t writer = 0; writer < writers; writer++) {
    threads.emplace_back([&, writer] {
      while (Seconds(begun) < seconds) {
        size_t row = next.fetch_add(1);
        if (row >= records.size()) return;
        auto started = Clock::now();
        Write(db, records, row, row + 1);
        times[writer].push_back(Seconds(started) * 1e3);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  double took = Seconds(begun);
  std::vector<double> all;
  for (auto& part : times) all.insert(all.end(), part.begin(), part.end());
  Emit("rows", all.size());
  Emit("rows_s", all.size() / took);
  Emit("rows_cpu_s", all.size() / (CpuSeconds() - cpu));
  EmitTimes("", all, "ms");
}

static void Load(rocksdb::DB* db, const Records& records) {
  for (size_t row = 0; row < records.size(); row += 50000)
    Write(db, records, row, std::min(row + 50000, records.size()));
  Rest(db);
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  Check(db->CompactRange(options, nullptr, nullptr));
}

static std::vector<double> Read(rocksdb::DB* db, const Records& records,
                                const std::vector<size_t>& rows) {
  std::vector<double> times;
  for (size_t row : rows) {
    auto begun = Clock::now();
    rocksdb::PinnableSlice value;
    Check(db->Get(rocksdb::ReadOptions(), db->DefaultColumnFamily(), records.key(row), &value));
    double sum = Sum(value);
    times.push_back(Seconds(begun) * 1e6);
    if (sum != Sum(records.value(row))) {
      std::fprintf(stderr, "RocksDB: a row was read back wrong\n");
      std::exit(1);
    }
  }
  return times;
}

static void Reads(rocksdb::DB* db, const Records& records, size_t points) {
  Load(db, records);
  std::vector<size_t> keys, hot;
  uint64_t state = 7;
  for (size_t read = 0; read < points; read++) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    keys.push_back((state >> 33) % records.size());
  }
  Read(db, records, keys);
  auto times = Read(db, records, keys);
  EmitTimes("point_", times, "us");
  Emit("point_p999_us", Percentile(times, 0.999));
  for (size_t read = 0; read < points; read++)
    hot.push_back(keys[read % std::min(kHotKeys, keys.size())]);
  times = Read(db, records, hot);
  EmitTimes("hot_", times, "us");
}

static uint64_t BytesBelow(const std::string& dir) {
  uint64_t sum = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir))
    if (entry.is_regular_file()) sum += entry.file_size();
  return sum;
}

int main(int count, char** arguments) {
  if (count != 8) {
    std::fprintf(stderr, "work, records, directory, batch, writers, seconds, points expected\n");
    return 2;
  }
  std::string work = arguments[1], dir = arguments[3];
  std::ifstream file(arguments[2], std::ios::binary);
  Records records{{std::istreambuf_iterator<char>(file), {}}};
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  options.IncreaseParallelism(2);
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(64 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* opened = nullptr;
  Check(rocksdb::DB::Open(options, dir, &opened));
  std::unique_ptr<rocksdb::DB> db(opened);
  if (work == "ingest") {
    Ingest(db.get(), records, std::stoul(arguments[4]), std::stod(arguments[6]));
  } else if (work == "single") {
    Single(db.get(), records, std::stoul(arguments[5]), std::stod(arguments[6]));
  } else if (work == "reads") {
    Reads(db.get(), records, std::stoul(arguments[7]));
  } else if (work == "size") {
    Load(db.get(), records);
    Check(db->Close());
    Emit("bytes", BytesBelow(dir));
  } else {
    std::fprintf(stderr, "RocksDB does not do %s\n", work.c_str());
    return 2;
  }
}
