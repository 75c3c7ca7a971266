/** Thrown: sets the message aside for ever, with the reason. */
export class DeadLetter extends Error {}

/** The answer for one message. */
export type Result =
  | { tag: "success" }
  | { tag: "reconsume-later"; val: { tag: "by-attempts" } | { tag: "level"; val: number } | { tag: "milliseconds"; val: number } }
  | { tag: "dead-letter"; val: string };

export function success(): Result;
/** Gives the message back; the broker's own schedule says when it comes again. */
export function reconsumeLater(): Result;
/** Gives it back for a delay level, 1 (1 s) to 18 (2 h). */
export function reconsumeAtLevel(level: number): Result;
/** Gives it back for at least so many milliseconds. */
export function reconsumeAfter(ms: number): Result;
/** Sets it aside for ever, with the reason. */
export function deadLetter(reason: string): Result;

/** Text of UTF-8, what is none of it replaced. */
export function decode(bytes: Uint8Array): string;

/** What holds for every message of one call. */
export interface Context {
  consumerGroup: string;
  /** The topic subscribed to, also when the message comes back from the retry topic. */
  topic: string;
  brokerName: string;
  queueId: number;
}

export interface Message {
  id: string;
  tags: string | undefined;
  /** As sent, separated by spaces. */
  keys: string;
  /** How often it was given back before: 0 the first time. */
  reconsumeTimes: number;
  queueOffset: number;
  /** Milliseconds since 1970. */
  bornTimestamp: number;
  storeTimestamp: number;
  body: Uint8Array;
  text(): string;
  json(): any;
  /** A property the user set. */
  property(name: string): string | undefined;
}

export interface ListenerDefinition {
  name: string;
  version: string;
  consumerGroup: string;
  /** Tags such as "created || paid", "*" unless given; or an SQL92 condition. */
  subscriptions: { topic: string; tags?: string; sql92?: string }[];
  broadcasting?: boolean;
  orderly?: boolean;
  /** Where a group without offsets begins: at the end of the queue, unless this is set. */
  fromFirstOffset?: boolean;
  /** Most messages in one call, 1 to 1024; 1 unless given. */
  batchMaxSize?: number;
  /** Retries before the dead-letter topic; 16 unless given. */
  maxReconsumeTimes?: number;
  /** Milliseconds one call may take. */
  consumeTimeout?: number;
  /** For each message of a batch, in its order. Nothing is a success; what it throws is reconsumed later, a DeadLetter not. */
  consume(message: Message, context: Context): Result | void;
}

export interface MessageQueue {
  topic: string;
  brokerName: string;
  queueId: number;
}

export interface OutgoingMessage {
  topic: string;
  tags: string | null;
  keys: string[];
  body: Uint8Array;
  properties: [string, string][];
}

export interface SelectorDefinition {
  name: string;
  version: string;
  /** The index of the queue the message goes to; what it throws leaves that to the sender's fallback. */
  select(queues: MessageQueue[], message: OutgoingMessage, arg: string): number;
}

export interface StrategyDefinition {
  name: string;
  version: string;
  /** The queues of the current client; it must depend on the arguments alone. */
  allocate(ask: { consumerGroup: string; currentClientId: string; queues: MessageQueue[]; clientIds: string[] }): MessageQueue[];
}

export function defineListener(definition: ListenerDefinition): object;
export function defineSelector(definition: SelectorDefinition): object;
export function defineStrategy(definition: StrategyDefinition): object;
