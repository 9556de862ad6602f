// The plugin as the contract has it; written by `activestore plugin build`.
import { log } from "activestore:plugin/log@@VERSION@";
import { getMany, putMany } from "activestore:plugin/state@@VERSION@";
import { setMany } from "activestore:plugin/timers@@VERSION@";
import { connect } from "../activestore.js";
import plugin from "../@MAIN@";

connect({ log, state: { getMany, putMany }, timers: { setMany }, @NEEDS@ });
export const processor = plugin;
