// kafkajs, driven as ../README.md says.
const readline = require('node:readline');
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs');
const snappy = require('kafkajs-snappy');
const lz4 = require('lz4js');
const zstd = require('fzstd');

const DEADLINE_MS = 60000;
CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async () => { throw new Error('this driver does not write lz4'); },
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});
// Plain JavaScript has no encoders for LZ4 and Zstandard that brokers accept: kafkajs reads them here, and others write them.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async () => { throw new Error('this driver does not write zstd'); },
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});
const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 };

const b64 = (data) => (data === null || data === undefined ? null : Buffer.from(data).toString('base64'));
const unb64 = (text) => (text === null || text === undefined ? null : Buffer.from(text, 'base64'));

function writeRecord(partition, message) {
  const headers = Object.entries(message.headers || {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, b64(one)]));
  console.log(JSON.stringify({
    partition, offset: Number(message.offset), key: b64(message.key), value: b64(message.value), headers,
    timestamp: Number(message.timestamp),
  }));
}

function withDeadline(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave up waiting for ${what}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function create(kafka, topic, partitions, replicationFactor) {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic, numPartitions: Number(partitions), replicationFactor: Number(replicationFactor) }],
  });
  await admin.disconnect();
}

async function produce(kafka, topic, codec) {
  const messages = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const record = JSON.parse(line);
    messages.push({
      partition: record.partition, key: unb64(record.key), value: unb64(record.value),
      headers: Object.fromEntries((record.headers || []).map(([name, value]) => [name, unb64(value)])),
      timestamp: record.timestamp === undefined ? undefined : String(record.timestamp),
    });
  }
  const producer = kafka.producer();
  await producer.connect();
  for (let start = 0; start < messages.length; start += 100) {
    await producer.send({ topic, acks: -1, compression: CODECS[codec], messages: messages.slice(start, start + 100) });
  }
  await producer.disconnect();
}

async function drain(consumer, topic, count, started) {
  let seen = 0;
  let finish;
  const done = new Promise((resolve) => { finish = resolve; });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      if (seen >= count) return;
      writeRecord(partition, message);
      seen += 1;
      if (seen >= count) finish();
    },
  });
  if (started) started();
  if (count > 0) await withDeadline(done, `${count} records`);
  await consumer.disconnect();
}

async function consume(kafka, topic, groupId, count) {
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await drain(consumer, topic, Number(count));
}

async function seek(kafka, topic, partition, offset, count) {
  const consumer = kafka.consumer({ groupId: `seek-${topic}-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let seen = 0;
  let finish;
  const done = new Promise((resolve) => { finish = resolve; });
  await consumer.run({
    eachMessage: async ({ partition: from, message }) => {
      if (from !== Number(partition) || Number(message.offset) < Number(offset) || seen >= Number(count)) return;
      writeRecord(from, message);
      seen += 1;
      if (seen >= Number(count)) finish();
    },
  });
  consumer.seek({ topic, partition: Number(partition), offset });
  await withDeadline(done, `${count} records`);
  await consumer.disconnect();
}

async function rebalance(kafka, topic, groupId) {
  const admin = kafka.admin();
  await admin.connect();
  const partitions = (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  await admin.disconnect();
  const changed = new Set();
  const member = async () => {
    const consumer = kafka.consumer({ groupId });
    const self = { consumer, assigned: [] };
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      self.assigned = [...(payload.memberAssignment[topic] || [])].sort((a, b) => a - b);
      for (const wake of changed) wake();
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({ eachMessage: async () => {} });
    return self;
  };
  const until = (holds, what) => withDeadline(new Promise((resolve) => {
    const look = () => { if (holds()) { changed.delete(look); resolve(); } };
    changed.add(look);
    look();
  }), what);
  const first = await member();
  await until(() => first.assigned.length === partitions, 'the first member to have all partitions');
  const result = { alone: first.assigned };
  const second = await member();
  await until(
    () => second.assigned.length > 0 && first.assigned.length + second.assigned.length === partitions,
    'two members to share the partitions',
  );
  Object.assign(result, { first: first.assigned, second: second.assigned });
  await first.consumer.disconnect();
  await until(() => second.assigned.length === partitions, 'the survivor to have all partitions');
  result.survivor = second.assigned;
  await second.consumer.disconnect();
  console.log(JSON.stringify(result));
}

const [bootstrap, command, ...args] = process.argv.slice(2);
const kafka = new Kafka({ clientId: 'kafkajs-driver', brokers: bootstrap.split(','), logLevel: logLevel.ERROR });
({ create, produce, consume, seek, rebalance })[command](kafka, ...args).catch((error) => {
  console.error(error);
  process.exit(1);
});
