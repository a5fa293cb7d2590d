#!/usr/bin/env node
import { packageVersion } from '../backend/addon-path.js';
import { FoveaError } from '../errors.js';
import { helpText, readCommandLine } from './options.js';
import { standardOutput } from './terminal.js';
import { train } from './train.js';

/** Exit codes as shells have them: 128 + SIGINT. */
const exitCodes = { done: 0, failed: 1, stopped: 130 } as const;

/**
 * Ctrl-C stops in good order; pressed again, a moment later, at once. npm hands a Ctrl-C on to the program that the
 * terminal has told already, so two in quick succession count as one.
 */
function stopOnSignals(): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const stop = () => {
    first ??= performance.now();
    if (performance.now() - first > 1000) process.exit(exitCodes.stopped);
    controller.abort(new FoveaError('ERR_ABORTED', 'fovea', 'stopped'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

async function main(args: readonly string[]): Promise<number> {
  const commandLine = readCommandLine(args);
  if (commandLine.help || commandLine.version) {
    standardOutput.line(commandLine.help ? helpText : packageVersion());
    return exitCodes.done;
  }
  return exitCodes[await train(commandLine, standardOutput, stopOnSignals())];
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCodes.done : exitCodes.failed); // `| head` is no failure
});

main(process.argv.slice(2)).then(
  (code) => {
    if (code === exitCodes.stopped) process.exit(code); // without waiting for what still computes
    process.exitCode = code;
  },
  (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    const stack = process.env.FOVEA_DEBUG && error instanceof Error ? error.stack : undefined;
    process.stderr.write(`fovea: ${stack ?? message}\n`);
    process.exitCode = exitCodes.failed;
  },
);
